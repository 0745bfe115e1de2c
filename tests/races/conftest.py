import threading

import pytest

from agents import intake
from agents.hosts import add_host
from locks import Lanes
from tests.races.hooks import Session
from tests.races.meeting import clear_the_stage
from tests.races.web import Web


@pytest.fixture
def host(transactional_db):
    """A machine with its token."""
    made, token = add_host("machine")
    made.token = token
    yield made
    clear_the_stage()


@pytest.fixture
def agent(host):
    """A session that has begun and was given a first instruction."""
    made = Session(host.token)
    made.start()
    made.prompt()
    return made


@pytest.fixture(scope="session")
def _webs(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        made = [Web(), Web()]
    yield made
    for web in made:
        web.stop()


@pytest.fixture
def webs(host, _webs):
    """Two web processes on the tests' database."""
    for web in _webs:
        web.wait_until_ready()
    return _webs


@pytest.fixture
def web(webs):
    """One web process on the tests' database."""
    return webs[0]


@pytest.fixture
def apart(monkeypatch, settings):
    """Make each thread a web process of its own, as far as the lanes and the waiters go, which are per process."""
    settings.LOCKS = {**settings.LOCKS, "WAITERS": 1000}
    lanes = threading.local()

    def of_this_thread():
        lanes.own = getattr(lanes, "own", None) or Lanes(1)
        return lanes.own

    monkeypatch.setattr(intake, "_lanes", of_this_thread)


@pytest.fixture
def limits(settings):
    """Change Headspace's limits for one test."""

    def change(**limits):
        settings.HEADSPACE = settings.HEADSPACE | limits

    return change
