from datetime import timedelta

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from locks import (
    LockDeadlock,
    LockKey,
    LockLost,
    LockNamespace,
    LockTimeout,
    NotInTransaction,
    StaleSnapshot,
    advisory_lock,
    advisory_lock_or_skip,
    asking,
    labelled,
)
from tests.locks.actors import PATIENCE, advisory_locks, ask, until, until_waiting

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


@pytest.fixture
def holder(actor):
    """Holds AGENT 42 in an open transaction."""
    holder = actor()
    holder.enter(transaction.atomic())
    holder.enter(advisory_lock(AGENT, 42))
    return holder


def _skip(key, namespace=AGENT):
    with transaction.atomic(), advisory_lock_or_skip(namespace, key) as acquired:
        return acquired


def test_one_at_a_time(holder, actor):
    other = actor()
    other.enter(transaction.atomic())
    waiting = other.start_entering(advisory_lock(AGENT, 42))
    until_waiting(other)
    assert not waiting.done()
    holder.leave()

    assert waiting.result(PATIENCE).key == LockKey(AGENT, 42)


def test_the_lock_outlives_its_block_until_the_transaction_ends(actor):
    other = actor()
    with transaction.atomic():
        with advisory_lock(AGENT, 42):
            pass
        assert other.do(_skip, 42) is False
    assert other.do(_skip, 42) is True


def test_other_keys_and_namespaces_are_free(holder):
    assert _skip(43)
    assert _skip(42, LockNamespace.SESSION)
    assert not _skip(42)


@pytest.mark.parametrize("timeout", [0, 0.02, timedelta(milliseconds=20)])
def test_a_timeout_raises_and_leaves_the_transaction_usable(holder, timeout):
    with transaction.atomic():
        with pytest.raises(LockTimeout, match="AGENT 42 is held elsewhere"), advisory_lock(AGENT, 42, timeout=timeout):
            pytest.fail("entered")

        assert ask("SELECT 1") == 1
        with advisory_lock(AGENT, 43):
            assert ask("SELECT current_setting('lock_timeout')") == "0"


def test_without_a_timeout_the_sessions_own_lock_timeout_counts(holder):
    with transaction.atomic():
        ask("SELECT set_config('lock_timeout', '20', true)")
        with pytest.raises(LockTimeout), advisory_lock(AGENT, 42, timeout=None):
            pytest.fail("entered")


def test_a_deadlock_is_an_error_of_its_own_and_leaves_the_transaction_usable(holder):
    with transaction.atomic():
        ask("SELECT set_config('deadlock_timeout', '20ms', true)")
        with advisory_lock(AGENT, 43):
            waiting = holder.start_entering(advisory_lock(AGENT, 43))
            until_waiting(holder)
            with pytest.raises(LockDeadlock), advisory_lock(AGENT, 42):
                pytest.fail("entered")
            assert ask("SELECT 1") == 1
    waiting.result(PATIENCE)


def test_outside_a_transaction_it_is_refused_before_the_server_is_asked():
    with CaptureQueriesContext(connection) as queries:
        with pytest.raises(NotInTransaction, match="can only be locked inside a transaction"), advisory_lock(AGENT, 42):
            pytest.fail("entered")
        with pytest.raises(NotInTransaction), advisory_lock_or_skip(AGENT, 42):
            pytest.fail("entered")

    assert len(queries) == 0


def test_above_read_committed_it_is_refused():
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(StaleSnapshot), advisory_lock(AGENT, 42):
            pytest.fail("entered")


@pytest.mark.parametrize("enter", [advisory_lock, advisory_lock_or_skip])
def test_another_scope_is_refused_by_a_name(enter):
    with pytest.raises(ValueError, match="one of 'transaction', 'session', not 'forever'"):
        enter(AGENT, 42, scope="forever")


@pytest.mark.parametrize(
    ("timeout", "error"), [(-1, ValueError), (2**31, ValueError), (True, TypeError), ("1", TypeError)]
)
def test_a_timeout_that_cannot_be_is_refused(timeout, error):
    with pytest.raises(error):
        advisory_lock(AGENT, 42, timeout=timeout)


@pytest.mark.parametrize("timeout", [0, 15, None])
def test_it_costs_one_statement_and_no_savepoint(timeout):
    with transaction.atomic(), CaptureQueriesContext(connection) as queries, advisory_lock(AGENT, 42, timeout=timeout):
        pass

    assert len(queries) == 1


def test_skipping_costs_one_statement(holder):
    with (
        transaction.atomic(),
        CaptureQueriesContext(connection) as queries,
        advisory_lock_or_skip(AGENT, 42) as acquired,
    ):
        assert acquired is False

    assert len(queries) == 1


def test_an_error_in_the_block_is_the_callers_and_the_lock_goes_with_the_transaction(actor):
    with pytest.raises(KeyError), transaction.atomic(), advisory_lock(AGENT, 42):
        raise KeyError

    assert actor().do(_skip, 42)


def test_the_label_is_seen_while_the_lock_is_held_and_not_after(actor):
    other = actor()
    with labelled("hook stop", "c-1"):
        other.enter(transaction.atomic())
    seen = "SELECT application_name FROM pg_stat_activity WHERE pid = %s"
    before = ask(seen, [other.pid])
    other.enter(labelled("hook stop", "c-1"))
    other.enter(advisory_lock(AGENT, 42))

    assert ask(seen, [other.pid]) == "lock: hook stop #c-1"
    other.leave()
    assert ask(seen, [other.pid]) == before


def test_a_session_that_was_ended_is_a_lost_lock(holder):
    ask("SELECT pg_terminate_backend(%s)", [holder.pid])
    until(lambda: advisory_locks(holder.pid) == 0)

    with pytest.raises(LockLost, match="AGENT 43"):
        holder.enter(advisory_lock(AGENT, 43))


def test_a_session_that_is_ended_while_it_waits_is_a_lost_lock(holder, actor):
    other = actor()
    other.enter(transaction.atomic())
    waiting = other.start_entering(advisory_lock(AGENT, 42))
    until_waiting(other)
    ask("SELECT pg_terminate_backend(%s)", [other.pid])

    with pytest.raises(LockLost, match="AGENT 42"):
        waiting.result(PATIENCE)


def test_a_cancelled_statement_passes_unchanged(holder):
    with transaction.atomic():
        ask("SELECT set_config('statement_timeout', '20', true)")
        with pytest.raises(OperationalError, match="statement timeout"), transaction.atomic(), advisory_lock(AGENT, 42):
            pytest.fail("entered")
        ask("SELECT set_config('statement_timeout', '0', true)")


def test_another_function_that_takes_the_lock_fails_with_our_errors(holder):
    key = LockKey(AGENT, 42)
    with transaction.atomic(), pytest.raises(LockTimeout), transaction.atomic(), asking(key):
        ask("SELECT locks_take(%s::bigint, 1, 20, NULL)", [str(key.id)])


def test_an_error_of_the_callers_statement_passes_unchanged():
    with pytest.raises(DatabaseError, match="division by zero"), transaction.atomic(), asking(LockKey(AGENT, 1)):
        ask("SELECT 1/0")


def test_a_lock_whose_savepoint_is_rolled_back_inside_its_section_is_found_lost(actor):
    with transaction.atomic():
        savepoint = transaction.savepoint()
        with advisory_lock(AGENT, 42) as held:
            held.verify()
            transaction.savepoint_rollback(savepoint)

            assert actor().do(_skip, 42)
            with pytest.raises(LockLost):
                held.verify()


def test_a_lock_is_taken_anew_after_the_savepoint_that_it_was_taken_in_is_rolled_back(actor):
    other = actor()
    with transaction.atomic():
        with pytest.raises(KeyError), transaction.atomic(), advisory_lock(AGENT, 42):
            raise KeyError
        assert other.do(_skip, 42)

        with advisory_lock(AGENT, 42) as held:
            held.verify()
            assert not other.do(_skip, 42)
