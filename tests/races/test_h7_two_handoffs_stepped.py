"""H7, in every order: two ask for one handoff, and both ways of completing it meet.

Handing over is not built yet; the scene is what it will do: under the predecessor's lock look for a live handoff, begin
one only where there is none, and complete only what is not complete. The successor is counted.
"""

import pytest
from django.db import connection, transaction

from locks import LockNamespace, advisory_lock
from locks.testing import Scene
from tests.races.exploring import COMMIT, LOCK, explored, found_wrong

READ = "SELECT state"
PREDECESSOR = 7


class Stage:
    """Two who trigger and complete: a hook that says so, and a poll that finds the file."""

    def __init__(self, lock=True):
        self._lock = lock

    def __call__(self):
        do("TRUNCATE h7")
        return Scene({"hook": self.hand_over, "poll": self.hand_over}, (LOCK if self._lock else READ, COMMIT))

    def hand_over(self):
        for done in ("begun", "complete"):
            with transaction.atomic():
                if self._lock:
                    advisory_lock(LockNamespace.AGENT, PREDECESSOR).__enter__()
                if done not in states():
                    do("INSERT INTO h7 (state) VALUES (%s)", done)

    def check(self, outcome):
        assert sorted(states()) == ["begun", "complete"], "two successors"


@pytest.fixture
def table(transactional_db):
    do("CREATE TABLE h7 (state text NOT NULL)")
    yield
    do("DROP TABLE h7")


def do(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def states():
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM h7")
        return [state for (state,) in cursor.fetchall()]


def test_one_handoff_is_begun_and_completed_once(table):
    stage = Stage()
    assert explored(stage, stage.check).met > 0


def test_mutant_without_the_predecessors_lock_there_are_two(table):
    stage = Stage(lock=False)
    with found_wrong("two successors"):
        explored(stage, stage.check)
