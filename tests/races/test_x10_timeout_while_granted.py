"""X10: a timeout fires in the moment in which the lock is granted; nothing may be left on a connection that is kept.

A session's lock survives the error of its statement: PostgreSQL 15 left it held after one timeout in ten. So the
function that waits looks again after the error, and what was granted counts as granted. It notes here that it found
something; without that the moment may never have come, and the test would say nothing.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from django.db import connections

from locks import LockKey, LockNamespace, LockTimeout, advisory_lock
from locks.dedicated import connections_for
from tests.races.meeting import another_connection, wait_until
from tests.races.mutants import rewritten
from tests.races.truths import locks_left

KEY = LockKey(LockNamespace.AGENT, 10)
PATIENCE = 0.002
TRIES = 400
AT_MOST = 4000
"""Tries until the moment has come; it came in every second or third."""
_ERROR = "WHEN lock_not_available THEN"
_FOUND = "IF locks_granted(lock_id, pg_backend_pid()) THEN PERFORM nextval('found_granted'); END IF;"
NOTED = [("locks_wait_session", _ERROR, f"{_ERROR} {_FOUND}")]
NO_SECOND_LOOK = [("locks_wait_session", "IF NOT (locks_granted(", "IF true OR NOT (locks_granted(")]
NOTHING_GIVEN_BACK = [("locks_ask_session", "PERFORM pg_advisory_unlock_all();", "")]
LEFT = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = ANY (%s)
"""


@pytest.fixture
def tries(transactional_db):
    """Tries without end, while somebody holds the key for about as long as they are patient: for each its answer,
    whether the key was granted when its timeout fired, and whether a connection that is kept still has it.
    """
    with another_connection() as raw, another_connection() as watcher, ThreadPoolExecutor(1) as thread:
        watcher.execute("CREATE SEQUENCE found_granted")
        try:
            yield _tries(raw, watcher, thread)
        finally:
            connections_for("default").close()
            connections.close_all()
            watcher.execute("DROP SEQUENCE found_granted")


def _tries(raw, watcher, thread):
    found = 0
    while True:
        raw.execute("SELECT pg_advisory_lock(%s)", [KEY.id])
        gone = thread.submit(_let_go, raw)
        is_entered = _enters()
        gone.result()
        (now_found,) = watcher.execute("SELECT coalesce(pg_sequence_last_value('found_granted'), 0)").fetchone()
        yield is_entered, now_found > found, _is_left(watcher)
        found = now_found


def _let_go(raw):
    raw.execute("SELECT pg_sleep(%s)", [PATIENCE * 0.8])
    raw.execute("SELECT pg_advisory_unlock(%s)", [KEY.id])


def _enters():
    try:
        with advisory_lock(KEY.namespace, KEY.key, timeout=PATIENCE, scope="session"):
            return True
    except LockTimeout:
        return False


def _is_left(watcher):
    pids = [raw.info.backend_pid for raw in connections_for("default")._kept]
    return watcher.execute(LEFT, [pids]).fetchone()[0] > 0


def test_what_was_granted_when_the_timeout_fired_is_entered_and_a_refusal_leaves_nothing(tries):
    refused = found = 0
    with rewritten(NOTED):
        for number, (is_entered, is_found, is_left) in enumerate(islice(tries, AT_MOST), 1):
            assert not is_left
            assert is_entered or not is_found, "refused what was granted"
            refused += not is_entered
            found += is_found
            if found and refused and number >= TRIES:
                break
    assert refused > 0
    assert found > 0, "the moment did not come: no timeout fired while the lock was granted"
    wait_until(lambda: not locks_left())


def test_mutant_that_does_not_look_again_refuses_what_was_granted_and_gives_it_back(tries):
    """The second look is a courtesy to who waited; what keeps the connection clean is that a refusal gives all back."""
    with rewritten(NOTED + NO_SECOND_LOOK):
        for is_entered, is_found, is_left in islice(tries, AT_MOST):
            assert not is_left
            if is_found:
                assert not is_entered
                return
    pytest.fail("the moment did not come: no timeout fired while the lock was granted")


def test_mutant_that_believes_the_error_keeps_the_lock_on_a_connection_for_others(tries):
    with rewritten(NO_SECOND_LOOK + NOTHING_GIVEN_BACK):
        for _, _, is_left in islice(tries, AT_MOST):
            if is_left:
                return
    pytest.fail("the moment did not come: no timeout fired while the lock was granted")
