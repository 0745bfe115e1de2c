"""A running Headspace for the tests of the HTTP path, and a host that may talk to it."""

import pytest

from agents.hosts import add_host
from agents.models import Host
from tests.agents.replay import Door
from tests.agents.web import serving


@pytest.fixture(scope="session")
def web(django_db_setup, tmp_path_factory):
    """The web process, as patient as it is in production."""
    with serving(tmp_path_factory.mktemp("web")) as found:
        yield found


@pytest.fixture
def door(transactional_db, web):
    """A door to the running Headspace, with a host's token."""
    with web.door() as found:
        yield found


@pytest.fixture
def host(door):
    """The host whose token the door has."""
    return Host.objects.get(name="one")


@pytest.fixture
def other_door(door):
    """The same door for another host."""
    return Door(door.port, add_host("two")[1])
