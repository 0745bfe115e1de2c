"""Several keys at once, shared locks, and the order in which locks are taken."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from locks import (
    LockDeadlock,
    LockKey,
    LockNamespace,
    LockOrder,
    LockReentered,
    LockTableFull,
    LockTimeout,
    LockUpgrade,
    advisory_lock,
    advisory_lock_or_skip,
    advisory_locks,
    advisory_locks_or_skip,
)
from tests.locks.actors import PATIENCE, ask, until_waiting
from tests.locks.actors import advisory_locks as counted

pytestmark = pytest.mark.django_db(transaction=True)
AGENT, SESSION, CYCLE = LockNamespace.AGENT, LockNamespace.SESSION, LockNamespace.CYCLE
THREE = [(AGENT, 3), (SESSION, "name"), (AGENT, 1)]


@pytest.fixture
def other(actor):
    """Somebody in a transaction of their own."""
    made = actor()
    made.enter(transaction.atomic())
    return made


def _is_free(actor, *key, shared=False):
    with_it = actor.enter(advisory_lock_or_skip(*key, shared=shared))
    return with_it


def test_many_keys_are_one_statement_each_once_and_in_the_declared_order():
    with (
        transaction.atomic(),
        CaptureQueriesContext(connection) as queries,
        advisory_locks([*THREE, (AGENT, 3)]) as held,
    ):
        assert len(queries) == 1
        assert held.keys == (LockKey(SESSION, "name"), LockKey(AGENT, 1), LockKey(AGENT, 3))
        held.verify()


def test_no_keys_are_no_statement():
    with transaction.atomic(), CaptureQueriesContext(connection) as queries, advisory_locks([]) as held:
        held.verify()
        assert not queries
    with advisory_locks_or_skip([]) as entered:
        assert entered


@pytest.mark.parametrize("wrong", [1, "ab", None, (1,), (1, 2, 3)])
@pytest.mark.parametrize("ask", [advisory_locks, advisory_locks_or_skip])
def test_what_is_neither_a_key_nor_a_pair_is_refused_by_what_it_is(ask, wrong):
    with pytest.raises(TypeError) as refused:
        ask([(AGENT, 1), wrong])
    assert str(refused.value) == f"each of several keys is a LockKey or a pair (namespace, key), not {wrong!r}"


@pytest.mark.parametrize("busy", [(AGENT, 1), (AGENT, 3), (SESSION, "name")])
def test_all_or_none(other, busy):
    other.enter(advisory_lock(*busy))
    with transaction.atomic():
        with advisory_locks_or_skip(THREE) as entered:
            assert entered is False
        with pytest.raises(LockTimeout) as caught, advisory_locks(THREE, timeout=0.02):
            pytest.fail("entered")

        assert str(LockKey(*busy)) in str(caught.value)
        assert counted(ask("SELECT pg_backend_pid()")) == 0


def test_with_one_of_them_open_all_are_refused_and_none_of_the_others_is_kept(other):
    with transaction.atomic(), advisory_lock(AGENT, 2):
        mine = ask("SELECT pg_backend_pid()")
        before = counted(mine)
        with pytest.raises(LockReentered, match="AGENT 2 is already entered"):
            advisory_locks([(AGENT, 1), (AGENT, 2), (AGENT, 3)]).__enter__()
        with advisory_locks_or_skip([(AGENT, 1), (AGENT, 2)]) as entered:
            assert entered is False
        assert counted(mine) == before


def test_what_was_entered_in_an_earlier_transaction_is_in_nobodys_way():
    for _ in range(2):
        with transaction.atomic():
            advisory_lock(AGENT, 2).__enter__()
            with advisory_locks([(AGENT, 1), (AGENT, 3)]):
                pass


def test_the_timeout_is_one_for_all_keys_together(actor, other):
    """The first holder lets go in the middle of the patience; for the second there is but the rest of it."""
    second = actor()
    second.enter(transaction.atomic())
    other.enter(advisory_lock(AGENT, 1))
    second.enter(advisory_lock(AGENT, 2))
    waiter = actor()

    def wait():
        with transaction.atomic(), advisory_locks([(AGENT, 1), (AGENT, 2)], timeout=1):
            pytest.fail("entered")

    waiting = waiter.start(wait)
    until_waiting(waiter)
    ask("SELECT pg_sleep(0.6)")
    other.leave()
    with pytest.raises(LockTimeout) as caught:
        waiting.result(PATIENCE)
    assert 1.0 <= float(str(caught.value).split("within ")[1].split(" s")[0]) < 1.5


def test_two_who_take_the_same_keys_the_other_way_round_never_meet_in_a_circle(actor):
    def often(keys):
        for _ in range(50):
            with transaction.atomic(), advisory_locks(keys, timeout=PATIENCE):
                pass
        return True

    one, other = actor(), actor()
    runs = [one.start(often, THREE), other.start(often, THREE[::-1])]
    assert all(run.result(3 * PATIENCE) for run in runs)


def test_mutant_the_same_keys_asked_for_one_by_one_do_meet_in_a_circle(actor, other):
    ask("SELECT set_config('deadlock_timeout', '20ms', false)")
    other.enter(advisory_lock(AGENT, 1))
    with transaction.atomic(), advisory_lock(AGENT, 2):
        waiting = other.start_entering(advisory_lock(AGENT, 2, timeout=PATIENCE))
        until_waiting(other)
        with pytest.raises(LockDeadlock), advisory_lock(AGENT, 1):
            pytest.fail("entered")
    waiting.result(PATIENCE)
    ask("SELECT set_config('deadlock_timeout', '1s', false)")


def test_more_keys_than_the_budget_are_refused(settings):
    settings.LOCKS = {"MOST_KEYS": 10}
    with pytest.raises(LockTableFull):
        advisory_locks([(AGENT, key) for key in range(11)])


class TestOrder:
    def test_waiting_for_a_higher_namespace_under_a_lower_one_is_refused(self):
        with transaction.atomic(), advisory_lock(AGENT, 1):
            with pytest.raises(LockOrder, match="SESSION 5 must be taken before"), advisory_lock(SESSION, 5):
                pytest.fail("entered")
            with advisory_lock(AGENT, 2):
                pass

    def test_it_counts_as_long_as_the_transaction_holds_the_lock(self):
        with transaction.atomic():
            with advisory_lock(AGENT, 1):
                pass
            with pytest.raises(LockOrder), advisory_lock(SESSION, 5):
                pytest.fail("entered")

    def test_a_savepoint_that_was_rolled_back_gives_the_order_back_too(self):
        with transaction.atomic():
            with transaction.atomic():
                with advisory_lock(AGENT, 1):
                    pass
                transaction.set_rollback(True)
            with advisory_lock(SESSION, 5):
                pass

    def test_the_declared_order_is_no_error(self):
        with transaction.atomic(), advisory_lock(CYCLE, 1), advisory_lock(SESSION, 5), advisory_lock(AGENT, 1):
            pass

    def test_who_does_not_wait_may_try_in_any_order(self):
        with transaction.atomic(), advisory_lock(AGENT, 1), advisory_lock_or_skip(SESSION, 5) as entered:
            assert entered

    def test_it_counts_between_a_lock_of_a_session_and_one_of_a_transaction(self):
        with advisory_lock(AGENT, 1, scope="session"), transaction.atomic(), pytest.raises(LockOrder):
            advisory_lock(SESSION, 5).__enter__()


class TestShared:
    def test_who_shares_lets_in_who_shares_and_nobody_else(self, other):
        with transaction.atomic(), advisory_lock(AGENT, 1, shared=True):
            assert other.enter(advisory_lock_or_skip(AGENT, 1, shared=True)) is True
            other.leave()
            other.enter(transaction.atomic())
            assert other.enter(advisory_lock_or_skip(AGENT, 1)) is False

    def test_who_holds_it_alone_keeps_out_who_shares(self, other):
        with transaction.atomic(), advisory_lock(AGENT, 1):
            assert other.enter(advisory_lock_or_skip(AGENT, 1, shared=True)) is False

    def test_who_shares_does_not_overtake_who_waits_to_have_it_alone(self, actor, other):
        with transaction.atomic(), advisory_lock(AGENT, 1, shared=True):
            waiting = other.start_entering(advisory_lock(AGENT, 1, timeout=PATIENCE))
            until_waiting(other)
            third = actor()
            third.enter(transaction.atomic())
            assert third.enter(advisory_lock_or_skip(AGENT, 1, shared=True)) is False
        waiting.result(PATIENCE)

    def test_to_have_alone_what_the_transaction_shares_is_refused(self):
        with transaction.atomic():
            with advisory_lock(AGENT, 1, shared=True) as held:
                held.verify()
            with pytest.raises(LockUpgrade), advisory_lock(AGENT, 1):
                pytest.fail("entered")
            with advisory_lock(AGENT, 1, shared=True):
                pass

    def test_to_share_what_the_transaction_has_alone_changes_nothing(self, other):
        with transaction.atomic():
            with advisory_lock(AGENT, 1):
                pass
            with advisory_lock(AGENT, 1, shared=True):
                assert other.enter(advisory_lock_or_skip(AGENT, 1, shared=True)) is False

    def test_re_entry_is_refused_in_either_mode(self):
        with transaction.atomic(), advisory_lock(AGENT, 1, shared=True), pytest.raises(LockReentered):
            advisory_lock(AGENT, 1, shared=True).__enter__()
