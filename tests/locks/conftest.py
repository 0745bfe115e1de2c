from datetime import timedelta

import pytest
from django.db import connection

from locks.counts import Tally
from tests.locks.actors import Actor, advisory_locks, until


@pytest.fixture(autouse=True)
def no_lock_is_left(request, django_db_blocker):
    yield
    # A test inside a transaction gives everything back with it, a little later.
    if request.node.get_closest_marker("django_db") and not connection.in_atomic_block:
        with django_db_blocker.unblock():
            until(lambda: advisory_locks() == 0, "the end of all advisory locks")


@pytest.fixture(autouse=True)
def tally(monkeypatch):
    """The process's counts, from nothing for each test; they are written when they are told to."""
    own = Tally(timedelta(hours=1))
    for module in ("notes", "monitor"):
        monkeypatch.setattr(f"locks.{module}.tally", own)
    yield own
    own._pending.clear()
    own.finish()


@pytest.fixture
def actor(transactional_db):
    """Return a maker of actors; they end with the test."""
    actors = []

    def make():
        actors.append(Actor())
        return actors[-1]

    yield make
    for one in actors:
        one.close()
