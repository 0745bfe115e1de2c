"""The database functions, called as other SQL calls them."""

from importlib import import_module

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from locks import Label, LockKey
from locks.asks import Answer
from locks.errors import sqlstate
from tests.locks.actors import PATIENCE, advisory_locks, ask, until_waiting

pytestmark = pytest.mark.django_db(transaction=True)
KEY = LockKey(1, 42)
LABEL = Label("test", "c1").text
TAKE = "SELECT locks_take(%s::bigint, 1, %s, %s)"
ASK = "SELECT locks_ask(%s::bigint, 1, NULL, %s, %s, false, NULL, false)"
SETTINGS = "SELECT ARRAY[current_setting('lock_timeout'), current_setting('application_name')]"


def _take(key=KEY, patience_ms=5000, label=LABEL):
    ask(TAKE, [str(key.id), patience_ms, label])


def _try(key=KEY):
    return _ask(0, key) is None


def _ask(patience_ms, key=KEY, label=LABEL):
    """Return the SQLSTATE of the refusal, or None."""
    return Answer.read(ask(ASK, [str(key.id), patience_ms, label])).refusal


def _holds(key=KEY):
    return ask("SELECT locks_holds(%s::bigint)", [str(key.id)])


@pytest.fixture
def holder(actor):
    holder = actor()
    holder.enter(transaction.atomic())
    holder.do(_take)
    return holder


def test_a_lock_is_held_until_the_transaction_ends(holder, actor):
    other = actor()
    other.enter(transaction.atomic())

    assert other.do(_try) is False
    holder.leave()
    assert other.do(_try) is True


def test_who_waits_goes_on_when_the_holder_commits(holder, actor):
    other = actor()
    other.enter(transaction.atomic())
    waiting = other.start(_take)
    until_waiting(other)
    holder.leave()

    waiting.result(PATIENCE)
    assert other.do(_holds)


@pytest.mark.parametrize("patience_ms", [0, 20])
def test_patience_that_ends_is_the_servers_lock_timeout_error(holder, patience_ms):
    with transaction.atomic(), pytest.raises(OperationalError) as caught, transaction.atomic():
        _take(patience_ms=patience_ms)

    assert sqlstate(caught.value) == "55P03"


def test_without_patience_of_its_own_the_sessions_lock_timeout_counts(holder):
    with transaction.atomic(), pytest.raises(OperationalError) as caught, transaction.atomic():
        ask("SELECT set_config('lock_timeout', '20', true)")
        _take(patience_ms=None)

    assert sqlstate(caught.value) == "55P03"


def test_the_label_stands_while_the_lock_is_held_and_nothing_stays_after_it():
    before = ask(SETTINGS)
    with transaction.atomic():
        _take()
        assert ask(SETTINGS) == [before[0], LABEL]

    assert ask(SETTINGS) == before


def test_a_wait_that_was_granted_leaves_the_callers_own_lock_timeout(holder, actor):
    other = actor()
    other.enter(transaction.atomic())
    other.do(ask, "SELECT set_config('lock_timeout', '7s', true)")
    waiting = other.start(_take)
    until_waiting(other)
    holder.leave()
    waiting.result(PATIENCE)

    assert other.do(ask, SETTINGS) == ["7s", LABEL]


def test_a_refusal_leaves_nothing_behind(holder):
    before = ask(SETTINGS)
    with transaction.atomic():
        mine = ask("SELECT pg_backend_pid()")
        assert _try() is False
        assert _ask(20) == "55P03"

        assert ask(SETTINGS) == before
        assert advisory_locks(mine) == 0
        assert not _holds()


def test_a_rolled_back_transaction_leaves_nothing_behind():
    before = ask(SETTINGS)
    with transaction.atomic():
        _take()
        transaction.set_rollback(True)

    assert ask(SETTINGS) == before
    assert not _holds()


def test_a_deadlock_is_an_answer_and_the_transaction_lives_on(holder, actor):
    second = LockKey(1, 43)
    with transaction.atomic():
        ask("SELECT set_config('deadlock_timeout', '20ms', true)")
        _take(second)
        waiting = holder.start(_take, second)
        until_waiting(holder)

        assert _ask(5000) == "40P01"
        assert _holds(second)
    waiting.result(PATIENCE)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_above_read_committed_it_is_refused(level):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        assert _ask(0, label=None) == "25000"
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            _take()

    assert sqlstate(caught.value) == "25000"


def test_what_is_held_is_taken_again_without_a_second_marker():
    with transaction.atomic():
        mine = ask("SELECT pg_backend_pid()")
        again = [len(Answer.read(ask(ASK, [str(KEY.id), 0, None])).again) for _ in range(2)]
        _take()
        _take(LockKey(1, 43))

        assert again == [0, 1]
        assert advisory_locks(mine) == 4


def test_a_savepoint_that_is_rolled_back_gives_its_lock_back_by_its_own_account_and_the_servers(actor):
    other = actor()
    other.enter(transaction.atomic())
    with transaction.atomic():
        _take(LockKey(1, 1))
        savepoint = transaction.savepoint()
        _take()
        transaction.savepoint_rollback(savepoint)

        assert not _holds()
        assert _holds(LockKey(1, 1))
        assert other.do(_try)


def test_a_released_savepoint_keeps_its_lock_by_its_own_account_and_the_servers(actor):
    other = actor()
    other.enter(transaction.atomic())
    with transaction.atomic():
        with transaction.atomic():
            _take()

        assert _holds()
        assert not other.do(_try)


def test_a_wait_that_times_out_while_it_is_granted_leaves_no_lock(actor):
    """The server may grant a lock in the moment in which its timeout fires; then the subtransaction gives it back."""
    holder, mine, answers = actor(), ask("SELECT pg_backend_pid()"), set()
    for _ in range(150):
        holder.enter(transaction.atomic())
        holder.do(_take)
        with transaction.atomic():
            holder.start(ask, "SELECT pg_sleep(0.0015)")
            gone = holder.start_leaving()
            answer = _ask(2)
            gone.result(PATIENCE)

            assert (advisory_locks(mine) > 0) is (answer is None)
        answers.add(answer)
    assert "55P03" in answers


def test_the_functions_can_be_taken_back_and_made_again():
    names = ("0001_locks", "0003_asks", "0004_sessions")
    migrations = [import_module(f"locks.migrations.{name}") for name in names]
    count = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'locks\\_%%'"
    with transaction.atomic(), connection.cursor() as cursor:
        before = ask(count)
        for migration in reversed(migrations):
            cursor.execute(migration.NOTHING)
        assert ask(count) < before / 3
        for migration in migrations:
            for operation in migration.Migration.operations:
                cursor.execute(operation.sql)
        assert ask(count) == before
        transaction.set_rollback(True)
