"""Session scope: a lock on a connection of its own, with a number that outranks older holders."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from locks import (
    InsideTransaction,
    LockLost,
    LockNamespace,
    LockReentered,
    LockTimeout,
    NotInTransaction,
    advisory_lock,
    advisory_lock_or_skip,
    advisory_locks,
    labelled,
)
from tests.locks.actors import PATIENCE, ask, until
from tests.locks.actors import advisory_locks as counted

AGENT, CYCLE = LockNamespace.AGENT, LockNamespace.CYCLE
pytestmark = pytest.mark.django_db(transaction=True)


def fenced(key=42, **options):
    return advisory_lock(AGENT, key, scope="session", **options)


def end_session(lock):
    """End the lock's session on the server, and wait until it is gone."""
    pid = lock.raw.info.backend_pid
    assert ask("SELECT pg_terminate_backend(%s, 5000)", [pid])


def verified(lock):
    with transaction.atomic():
        lock.verify()


class TestHolding:
    def test_it_is_held_by_a_session_of_its_own_over_many_transactions(self, actor):
        other = actor()
        with fenced() as lock:
            for _ in range(2):
                with transaction.atomic():
                    lock.verify()
            assert lock.raw.info.backend_pid != ask("SELECT pg_backend_pid()")
            assert other.do(_skip) is False
        assert other.do(_skip) is True

    def test_entering_and_leaving_cost_the_work_connection_nothing(self):
        with CaptureQueriesContext(connection) as queries, fenced():
            pass
        assert not queries

    def test_the_tokens_rise_from_holder_to_holder_of_any_key(self):
        tokens = []
        for key in (1, 2, 1, 1):
            with fenced(key) as lock:
                tokens.append(lock.fence)
        assert tokens == sorted(set(tokens))

    def test_inside_a_transaction_it_is_refused_because_it_would_end_before_the_commit(self):
        with transaction.atomic(), pytest.raises(InsideTransaction, match="before this transaction is committed"):
            fenced().__enter__()

    def test_code_around_which_it_is_held_is_told_so(self):
        with fenced():
            with pytest.raises(LockReentered):
                fenced().__enter__()
            with transaction.atomic(), pytest.raises(LockReentered), advisory_lock(AGENT, 42):
                pytest.fail("entered")
            with advisory_lock_or_skip(AGENT, 42, scope="session") as entered:
                assert entered is False

    def test_shared_holders_have_tokens_and_verify_side_by_side(self, actor):
        other = actor()
        with fenced(shared=True) as mine:
            theirs = other.enter(fenced(shared=True))
            verified(mine)
            other.do(verified, theirs)
            verified(mine)
            assert mine.fence < theirs.fence
            assert other.do(_skip) is False

    def test_many_keys_have_one_token(self, actor):
        with advisory_locks([(AGENT, 1), (CYCLE, 2)], scope="session") as lock:
            verified(lock)
            other = actor()
            assert other.do(_skip, 1) is False
        assert other.do(_skip, 1) is True

    def test_the_label_is_seen_while_it_is_held_and_not_afterwards(self):
        with labelled("handover", "c1"), fenced() as lock:
            pid = lock.raw.info.backend_pid
            assert _name(pid) == "lock: handover #c1"
        assert _name(pid) == "lock: nothing held #"

    def test_an_error_in_the_block_is_the_callers_and_the_lock_is_given_back(self):
        with pytest.raises(KeyError), fenced():
            raise KeyError
        assert counted() == 0


class TestLoss:
    def test_a_session_that_was_ended_is_noticed_without_a_query(self):
        with pytest.raises(LockLost), fenced() as lock:
            assert not lock.is_lost
            end_session(lock)
            with CaptureQueriesContext(connection) as queries:
                until(lambda: lock.is_lost)
            assert not queries

    def test_work_of_a_holder_that_was_lost_does_not_commit(self):
        with pytest.raises(LockLost), fenced() as lock:
            end_session(lock)
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("CREATE TABLE written_after_the_loss ()")
                lock.verify()
        assert not ask("SELECT to_regclass('written_after_the_loss') IS NOT NULL")

    def test_the_server_refuses_a_holder_that_does_not_know_it_yet(self, monkeypatch):
        monkeypatch.setattr("locks.fenced.is_lost", lambda raw: False)
        with pytest.raises(LockLost), fenced() as lock:
            end_session(lock)
            with pytest.raises(LockLost):
                verified(lock)

    def test_an_older_holder_is_refused_though_somebody_holds_the_lock_again(self, actor, monkeypatch):
        monkeypatch.setattr("locks.fenced.is_lost", lambda raw: False)
        with pytest.raises(LockLost), fenced() as old:
            end_session(old)
            new = actor().enter(fenced())
            assert new.fence > old.fence
            with pytest.raises(LockLost):
                verified(old)

    @pytest.mark.parametrize("shared", [False, True])
    def test_the_answer_holds_until_the_commit_because_the_next_one_is_not_let_in_before(self, actor, shared):
        other = actor()
        with pytest.raises(LockLost), fenced() as old:
            with transaction.atomic():
                old.verify()
                end_session(old)
                waiting = other.start_entering(fenced(shared=shared, timeout=PATIENCE))
                until(lambda: ask("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
                assert not waiting.done()
            waiting.result(PATIENCE)

    def test_the_next_one_waits_no_longer_than_its_patience_and_holds_nothing_then(self, actor):
        other = actor()
        with pytest.raises(LockLost), fenced() as old, transaction.atomic():
            old.verify()
            end_session(old)
            with pytest.raises(LockTimeout):
                other.enter(fenced(timeout=0.05))
                # The guard of the transaction that verified.
                assert counted() == 1

    def test_a_token_of_an_older_timeline_is_refused(self):
        with fenced() as lock, transaction.atomic():
            older = lock.fence - (1 << 40)
            assert not _stands(lock, older, shared=True)
            assert _stands(lock, lock.fence)

    @pytest.mark.parametrize(("days", "stands"), [(29, True), (31, False)])
    def test_a_token_is_forgotten_after_a_month_and_refused_then(self, tally, days, stands):
        with fenced() as lock:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE locks_fence SET taken_at = now() - %s * interval '1 day'", [days])
            tally.write()
            with transaction.atomic():
                assert _stands(lock, lock.fence) is stands

    def test_the_error_of_the_block_is_raised_and_the_loss_is_logged(self, caplog):
        with pytest.raises(KeyError), fenced() as lock:
            end_session(lock)
            raise KeyError
        assert "AGENT 42 does not hold any more" in caplog.text

    def test_a_lock_given_back_behind_its_back_is_a_loss(self):
        with pytest.raises(LockLost), fenced() as lock:
            lock.raw.execute("SELECT pg_advisory_unlock_all()")

    def test_it_is_verified_inside_the_transaction_that_works(self):
        with fenced() as lock, pytest.raises(NotInTransaction):
            lock.verify()


class TestWaiting:
    def test_who_waits_is_let_in_when_the_holder_leaves(self, actor):
        other = actor()
        with fenced():
            waiting = other.start_entering(fenced(timeout=PATIENCE))
            until(lambda: counted() == 4)
        assert waiting.result(PATIENCE).fence

    def test_who_gives_up_is_told_who_held_it_and_leaves_nothing_behind(self, actor):
        holder = actor()
        holder.do(lambda: None)
        with labelled("the holder", "c9"):
            held = fenced()
            lock = held.__enter__()
        before = counted()
        with pytest.raises(LockTimeout) as caught:
            actor().do(fenced(timeout=0.05).__enter__)
        assert counted() == before
        held.__exit__(None, None, None)
        (seen,) = caught.value.holders
        assert (seen.pid, seen.label.holder, seen.label.correlation_id) == (
            lock.raw.info.backend_pid,
            "the holder",
            "c9",
        )
        assert 0 <= seen.held_seconds < PATIENCE
        assert "held by the holder (pid" in str(caught.value)

    def test_a_wait_that_is_cancelled_on_the_server_leaves_nothing_behind(self, actor):
        with fenced():
            waiting = actor().start_entering(fenced(key=42, timeout=PATIENCE))
            until(lambda: counted() == 4)
            waits = ask("SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
            ask("SELECT pg_cancel_backend(%s)", [waits])
            with pytest.raises(OperationalError) as caught:
                waiting.result(PATIENCE)
            assert caught.value.__cause__.sqlstate == "57014"
            until(lambda: counted() == 2)

    def test_waiting_does_not_hold_up_the_bodies_own_work(self):
        with fenced(), ThreadPoolExecutor(1) as thread:
            thread.submit(_skip_apart).result(PATIENCE)


def _stands(lock, token, *, shared=False):
    asked = [[str(lock.key.id)], [lock.key.namespace], token, shared, lock.raw.info.backend_pid]
    return ask("SELECT locks_verify(%s::bigint[], %s::integer[], %s, %s, %s)", asked)


def _skip(key=42):
    with transaction.atomic(), advisory_lock_or_skip(AGENT, key) as entered:
        return entered


def _skip_apart():
    try:
        return _skip()
    finally:
        connections.close_all()


def _name(pid):
    return ask("SELECT application_name FROM pg_stat_activity WHERE pid = %s", [pid])


class InsideATestCase(TestCase):
    def test_the_transaction_around_a_test_case_does_not_count(self):
        with fenced() as lock:
            lock.verify()
