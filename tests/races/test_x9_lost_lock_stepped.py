"""X9, in every order: a holder's lock connection dies while it works, and the next holder works too.

No part of the program spans side effects with a lock yet; the scene is what such a part does: read, act, and write under
``verify``. A counter tells whether two worked on the same reading.
"""

import pytest
from django.db import connection, transaction

from locks import LockLost, LockNamespace, advisory_lock
from locks.fenced import FencedLock
from locks.testing import Scene, lose_connection, step
from tests.races.exploring import COMMIT, explored, found_wrong
from tests.races.mutants import replaced, rewritten

VERIFY, WRITE = "SELECT locks_verify(", "UPDATE x9"
NOT_HELD_TO_THE_COMMIT = [("locks_verify", "FOR SHARE", "")]
NOT_LOOKED_FOR = [
    ("locks_verify", "OR locks_free(ids[position], shared)", ""),
    ("locks_verify", "newest > token", "false"),
]


@pytest.fixture
def scene(transactional_db):
    """Return a maker of scenes and its check."""
    commits, holders = [], {}

    def work(name):
        def act():
            with advisory_lock(LockNamespace.AGENT, 9, scope="session") as lock:
                holders[name] = lock
                seen = read()
                step("acts")
                with transaction.atomic(), connection.cursor() as cursor:
                    lock.verify()
                    cursor.execute("UPDATE x9 SET done = %s", [seen + 1])
                commits.append(name)

        return act

    def usurp():
        step("ends the other's session")
        if "old" in holders and not holders["old"].is_lost:
            lose_connection(holders["old"])
        work("new")()

    def make():
        commits.clear()
        holders.clear()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE x9 SET done = 0")
        return Scene({"old": work("old"), "new": usurp}, (VERIFY, WRITE, COMMIT), raises=(LockLost,))

    def check(outcome):
        assert read() == len(commits), f"{len(commits)} worked, on one reading"
        assert "new" in commits, "the next holder could not work"

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE x9 AS SELECT 0 AS done")
    yield make, check
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE x9")


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
