"""X10: a timeout fires in the moment in which the lock is granted; nothing may be left on a connection that is kept.

A session's lock survives the error of its statement: PostgreSQL 15 left it held after one timeout in ten.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from locks import LockKey, LockNamespace, LockTimeout, advisory_lock
from locks.dedicated import connections_for
from tests.races.meeting import another_connection, asked, wait_until
from tests.races.mutants import rewritten
from tests.races.truths import locks_left

KEY = LockKey(LockNamespace.AGENT, 10)
PATIENCE = 0.002
TRIES = 400
MUTANT = [
    ("locks_wait_session", "IF NOT locks_granted(lock_id) THEN", "IF true THEN"),
    ("locks_ask_session", "PERFORM pg_advisory_unlock_all();", ""),
]
LEFT = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = ANY (%s)
"""


@pytest.fixture
def somebody(transactional_db):
    """Somebody who holds the key for about as long as the others are patient, again and again."""
    with another_connection() as raw, ThreadPoolExecutor(1) as thread:

        def hold():
            raw.execute("SELECT pg_advisory_lock(%s)", [KEY.id])
            return thread.submit(let_go)

        def let_go():
            raw.execute("SELECT pg_sleep(%s)", [PATIENCE * 0.8])
            raw.execute("SELECT pg_advisory_unlock(%s)", [KEY.id])

        yield hold


def timeouts_that_left_the_lock(hold, scope_of_it):
    """Try often; return how often it was refused, and how often it was held all the same."""
    refused = left = 0
    for _ in range(TRIES):
        gone = hold()
        try:
            with advisory_lock(KEY.namespace, KEY.key, timeout=PATIENCE, scope=scope_of_it):
                pass
        except LockTimeout:
            refused += 1
        gone.result()
        left += held_by_kept()
        if left:
            break
    return refused, left


def held_by_kept():
    pids = [raw.info.backend_pid for raw in connections_for("default")._kept]
    return asked(LEFT, pids)[0][0]


def test_a_refusal_leaves_nothing_on_a_connection_that_is_kept(somebody):
    refused, left = timeouts_that_left_the_lock(somebody, "session")
    assert refused > 0
    assert left == 0
    wait_until(lambda: not locks_left())


def test_mutant_that_believes_the_error_keeps_the_lock_on_a_connection_for_others(somebody):
    try:
        with rewritten(MUTANT):
            for _ in range(10):
                _, left = timeouts_that_left_the_lock(somebody, "session")
                if left:
                    return
    finally:
        connections_for("default").close()
        connections.close_all()
    pytest.fail("the moment did not come: no timeout fired while the lock was granted")
