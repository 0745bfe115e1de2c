"""The rows behind the fence: who is kept waiting at them and who is not, and tokens that never fall."""

import pytest
from django.db import connection, transaction

from locks import (
    LockLost,
    LockNamespace,
    LockTimeout,
    PooledSession,
    advisory_lock,
    advisory_lock_or_skip,
    advisory_locks,
)
from tests.locks.actors import PATIENCE, ask, until
from tests.locks.test_fenced import end_session, fenced, verified
from tests.servers import django_database, pgbouncer, restartable

AGENT = LockNamespace.AGENT
pytestmark = pytest.mark.django_db(transaction=True)


def do(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def test_who_shares_outranks_nobody_also_where_a_key_is_new(actor):
    """The older one is held up between its token and the key's row."""
    older, younger = actor(), actor()
    with transaction.atomic():
        do("LOCK TABLE locks_fence IN SHARE MODE")
        waiting = older.start_entering(fenced(2, shared=True))
        until(lambda: ask("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        later = younger.start_entering(fenced(2, shared=True))
        until(lambda: ask("SELECT count(*) FROM pg_locks WHERE NOT granted") > 1)
    old, new = waiting.result(PATIENCE), later.result(PATIENCE)
    assert old.fence != new.fence
    older.do(verified, old)
    younger.do(verified, new)


def test_who_shares_and_verifies_is_in_the_way_of_nobody_who_shares(actor):
    other = actor()
    with fenced(shared=True) as mine, transaction.atomic():
        mine.verify()
        theirs = other.enter(fenced(shared=True))
        other.do(verified, theirs)
        assert actor().enter(advisory_lock_or_skip(AGENT, 42, scope="session", shared=True)) is True


def test_two_transactions_of_one_holder_verify_side_by_side(actor):
    other = actor()
    with fenced() as lock, transaction.atomic():
        lock.verify()
        other.do(verified, lock)


@pytest.mark.parametrize("shared", [False, True])
def test_nobody_in_transaction_scope_is_let_in_before_the_verified_transaction_is_over(actor, shared):
    other, later = actor(), actor()
    for one in (other, later):
        one.enter(transaction.atomic())
    with pytest.raises(LockLost), fenced() as old:
        with transaction.atomic():
            old.verify()
            end_session(old)
            assert other.enter(advisory_lock_or_skip(AGENT, 42, shared=shared)) is False
            with pytest.raises(LockTimeout):
                other.enter(advisory_lock(AGENT, 42, shared=shared, timeout=0.02))
            with pytest.raises(LockTimeout):
                other.enter(advisory_locks([(AGENT, 41), (AGENT, 42)], shared=shared, timeout=0.02))
            waiting = later.start_entering(advisory_lock(AGENT, 42, shared=shared, timeout=PATIENCE))
            until(lambda: ask("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        waiting.result(PATIENCE)
        with pytest.raises(LockLost):
            verified(old)


@pytest.mark.parametrize("scope", ["transaction", "session"])
def test_those_who_share_are_let_in_together_after_the_verified_transaction(actor, scope):
    """Who waited for it must not keep the guard: the second one would wait for the first one's transaction."""
    sharers = [actor(), actor()]
    with pytest.raises(LockLost), fenced() as old:
        with transaction.atomic():
            old.verify()
            end_session(old)
            waiting = [_sharing(one, scope) for one in sharers]
            until(lambda: ask("SELECT count(*) FROM pg_locks WHERE NOT granted") == 2)
        for one in waiting:
            one.result(PATIENCE)


def _sharing(one, scope):
    if scope == "transaction":
        one.enter(transaction.atomic())
    return one.start_entering(advisory_lock(AGENT, 42, scope=scope, shared=True, timeout=PATIENCE / 2))


def test_without_a_timeout_the_next_one_waits_for_the_verified_transaction_as_long_as_it_takes(actor):
    other = actor()
    with pytest.raises(LockLost), fenced() as old:
        with transaction.atomic():
            old.verify()
            end_session(old)
            waiting = other.start_entering(fenced(timeout=None))
            until(lambda: ask("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
            ask("SELECT pg_sleep(0.1)")
            assert not waiting.done()
        waiting.result(PATIENCE)


def test_who_shares_and_verifies_keeps_out_who_wants_it_alone(actor):
    other = actor()
    with pytest.raises(LockLost), fenced(shared=True) as mine, transaction.atomic():
        mine.verify()
        end_session(mine)
        with pytest.raises(LockTimeout):
            other.enter(fenced(timeout=0.05))
        assert other.enter(fenced(shared=True, timeout=0.05))


def test_in_a_transaction_that_only_reads_it_can_be_verified_too():
    with fenced() as lock, transaction.atomic():
        do("SET TRANSACTION READ ONLY")
        lock.verify()


def test_a_holder_that_was_ended_unnoticed_is_refused_though_somebody_has_the_key_in_transaction_scope(
    actor, monkeypatch
):
    monkeypatch.setattr("locks.fenced.is_lost", lambda raw: False)
    other = actor()
    with pytest.raises(LockLost), fenced() as old:
        end_session(old)
        other.enter(transaction.atomic())
        other.enter(advisory_lock(AGENT, 42))
        with pytest.raises(LockLost):
            verified(old)


def test_a_standby_that_never_heard_of_an_epoch_comes_out_above_it():
    """The old primary went on to another timeline and gave tokens there; a standby that lagged is promoted further."""
    with fenced() as before:
        pass
    do("UPDATE locks_epoch SET timeline = timeline - 1, epoch = epoch - 1")
    with fenced() as told:
        pass
    do("UPDATE locks_epoch SET timeline = timeline - 2, epoch = epoch - 1")
    with fenced() as later:
        assert before.fence < told.fence < later.fence
        assert later.fence >> 40 > told.fence >> 40


@pytest.mark.parametrize("now_on", [0, 7])
def test_tokens_rise_over_a_change_of_the_timeline_be_it_up_or_down(now_on):
    """As after the promotion of a standby (up), or in a new cluster that a backup was restored into (down)."""
    with fenced() as before:
        pass
    do("UPDATE locks_epoch SET timeline = %s", now_on)
    with fenced() as lock:
        assert lock.fence > before.fence
        verified(lock)
        do("UPDATE locks_epoch SET timeline = %s", now_on)
        with transaction.atomic(), pytest.raises(LockLost):
            lock.verify()


def test_a_session_of_everybodys_is_left_as_it_was():
    """Through a pooler, what is set for the session stays for its next user."""
    with restartable() as server:
        server.do("ALTER ROLE CURRENT_USER SET statement_timeout = '33s'")
        with pgbouncer(server.url(), pool_size=1) as pooler, django_database(pooler.url()) as alias:
            for _ in range(2):
                with pooler.connect() as somebody:
                    assert somebody.execute("SHOW statement_timeout").fetchone() == ("33s",)
                with pytest.raises(PooledSession):
                    advisory_lock(AGENT, 1, scope="session", using=alias).__enter__()
