"""X9, in every order: a holder's lock connection dies while it works, and the next holder works too.

No part of the program spans side effects with a lock yet; the scene is what such a part does: read, act, and write
under ``verify``. A counter tells whether two worked on the same reading.
"""

import pytest
from django.db import connection, transaction

from locks import LockLost, LockNamespace, advisory_lock
from locks.fenced import FencedLock
from locks.testing import Scene, lose_connection, step
from tests.races.exploring import COMMIT, explored, found_wrong
from tests.races.mutants import NOT_HELD_TO_THE_COMMIT, replaced, rewritten

VERIFY, WRITE = "SELECT locks_verify(", "UPDATE x9"


class Stage:
    """The old holder, and the new one who ends the old one's session before it comes in."""

    def __init__(self):
        self.commits, self.holders = [], {}

    def __call__(self):
        self.__init__()
        do("UPDATE x9 SET done = 0")
        return Scene({"old": self.old, "new": self.new}, (VERIFY, WRITE, COMMIT), raises=(LockLost,))

    def old(self):
        with advisory_lock(LockNamespace.AGENT, 9, scope="session") as lock:
            self.holders["old"] = lock
            self.work(lock, "old")

    def new(self):
        step("ends the other's session")
        if "old" in self.holders and not self.holders["old"].is_lost:
            lose_connection(self.holders["old"])
        with advisory_lock(LockNamespace.AGENT, 9, scope="session") as lock:
            self.work(lock, "new")

    def work(self, lock, name):
        seen = read()
        step("acts")
        with transaction.atomic():
            lock.verify()
            do("UPDATE x9 SET done = %s", seen + 1)
        self.commits.append(name)

    def check(self, outcome):
        assert read() == len(self.commits), f"{len(self.commits)} worked, on one reading"
        assert "new" in self.commits, "the next holder could not work"


@pytest.fixture
def scene(transactional_db):
    """Return a maker of scenes and its check."""
    stage = Stage()
    do("CREATE TABLE x9 AS SELECT 0 AS done")
    yield stage, stage.check
    do("DROP TABLE x9")


def do(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def read():
    with connection.cursor() as cursor:
        cursor.execute("SELECT done FROM x9")
        return cursor.fetchone()[0]


def test_who_lost_the_lock_does_not_commit_after_the_next_one_was_let_in(scene):
    found = explored(*scene)
    assert found.met > 0


def test_mutant_who_does_not_verify_writes_over_the_next_one(scene):
    with replaced(FencedLock, "verify", lambda lock: None), found_wrong("worked, on one reading"):
        explored(*scene)


def test_mutant_an_answer_that_does_not_hold_until_the_commit_lets_the_next_one_in_too_early(scene):
    with rewritten(NOT_HELD_TO_THE_COMMIT), found_wrong("worked, on one reading"):
        explored(*scene)
