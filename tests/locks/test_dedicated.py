"""The connections that locks of session scope live on."""

import gc
import resource
from pathlib import Path

import pytest
from django.db import connection, transaction

from locks import LockLost, LockNamespace, LockTimeout, advisory_lock, advisory_lock_or_skip
from locks.dedicated import connections_for
from tests.locks.actors import advisory_locks as counted
from tests.locks.actors import ask, until
from tests.locks.test_fenced import end_session, fenced, verified

AGENT = LockNamespace.AGENT
PAIRS = 10_000
WAITER = "SELECT coalesce((SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'advisory'), 0)"
pytestmark = pytest.mark.django_db(transaction=True)


class TestConnections:
    def test_one_is_used_again(self):
        with fenced() as lock:
            first = lock.raw
        with fenced() as lock:
            assert lock.raw is first

    def test_one_that_ended_while_it_was_kept_is_not_used_again(self):
        with fenced() as lock:
            first = lock.raw
        end_session(lock)
        with fenced() as lock:
            assert lock.raw is not first

    def test_no_more_are_opened_than_a_process_may_have_and_those_who_find_no_room_are_told_in_time(self, settings):
        settings.LOCKS = {"SESSIONS": 2}
        with fenced(1), fenced(2):
            with pytest.raises(LockTimeout, match="connections"), fenced(3, timeout=0.05):
                pytest.fail("entered")
            with advisory_lock_or_skip(AGENT, 3, scope="session") as entered:
                assert entered is False
        with fenced(3):
            assert len(connections_for("default")) == 2

    def test_ten_thousand_pairs_leave_no_connection_no_lock_and_no_memory_behind(self):
        _enter_and_leave(500)
        before, megabytes = len(connections_for("default")), _resident()
        _enter_and_leave(PAIRS // 2)
        assert len(connections_for("default")) == before == 1
        assert counted() == 0
        assert _resident() - megabytes < 2, "MB: more than 200 bytes for each pair"

    def test_a_session_may_take_as_long_as_it_likes_whatever_its_role_is_limited_to(self):
        ask("SELECT 1")
        with connection.cursor() as cursor:
            cursor.execute("ALTER ROLE CURRENT_USER SET idle_session_timeout = '50ms'")
        try:
            with fenced() as lock:
                ask("SELECT pg_sleep(0.3)")
                verified(lock)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER ROLE CURRENT_USER RESET idle_session_timeout")

    def test_a_wait_that_somebody_ended_is_not_begun_again(self, actor):
        """On a connection that was kept, too: only one that ended while it was kept is replaced in silence."""
        holder, waiter = actor(), actor()
        waiter.enter(fenced(8))
        waiter.leave()
        holder.enter(fenced(42))
        waiting = waiter.start_entering(fenced(42, timeout=10))
        pid = until(lambda: ask(WAITER))
        ask("SELECT pg_terminate_backend(%s, 5000)", [pid])
        with pytest.raises(LockLost):
            waiting.result(10)


def _enter_and_leave(times):
    """As many pairs in each of the scopes."""
    for _ in range(times):
        with fenced():
            pass
        with transaction.atomic(), advisory_lock(AGENT, 43):
            pass


def _resident():
    """Return how many megabytes of memory this process has, without what nobody refers to."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
