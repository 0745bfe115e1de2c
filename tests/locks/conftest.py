from datetime import timedelta

import pytest

from locks import counts
from locks.counts import Tally
from tests.locks.actors import Actor


@pytest.fixture(autouse=True)
def tally(monkeypatch):
    """The process's counts, from nothing for each test; they are written when they are told to."""
    # What other tests have noted is not to be written in the middle of this one.
    counts.tally._pending.clear()
    counts.tally.finish()
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
