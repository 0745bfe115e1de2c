import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from locks import LockKey, LockNamespace, advisory_lock, labelled
from locks.models import Outcome, Termination
from locks.termination import look, terminate
from tests.locks.actors import PATIENCE, ask, until, until_waiting
from tests.locks.audit import forget_terminations

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


@pytest.fixture(autouse=True)
def nothing_is_on_record(transactional_db):
    yield
    forget_terminations()


@pytest.fixture
def holder(actor):
    one = actor()
    one.enter(transaction.atomic())
    one.enter(labelled("hook stop", "c-1"))
    one.enter(advisory_lock(AGENT, 42))
    return one


def _is_there(pid):
    return ask("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", [pid])


def _ask_to_end(pid, **more):
    return terminate(pid, by="ada@here", reason="it hangs", **more)


def test_a_holder_is_ended_and_who_waits_for_it_goes_on(holder, actor):
    waiter = actor()
    waiter.enter(transaction.atomic())
    waiting = waiter.start_entering(advisory_lock(AGENT, 42))
    until_waiting(waiter)

    assert _ask_to_end(holder.pid) is Outcome.ENDED
    assert not _is_there(holder.pid)
    assert waiting.result(PATIENCE)


def test_all_of_it_is_on_record(holder):
    _ask_to_end(holder.pid)
    (row,) = Termination.objects.all()

    assert (row.by, row.reason, row.pid, row.holder, row.outcome) == (
        "ada@here",
        "it hangs",
        holder.pid,
        "hook stop",
        "ended",
    )
    assert row.asked_at <= row.ended_at
    assert [(lock["namespace"], lock["key"], lock["correlation_id"]) for lock in row.locks] == [("AGENT", 42, "c-1")]


def test_it_shows_what_is_held_and_since_when(holder):
    seen = look(holder.pid)

    assert (seen.pid, seen.holder, seen.refusal) == (holder.pid, "hook stop", None)
    assert [lock.title for lock in seen.locks] == ["AGENT 42"]
    # The lock, and the marker beside it.
    assert len(seen.marks) == 2


def _give_back_and_take_again(key):
    savepoint = transaction.savepoint()
    with advisory_lock(AGENT, key):
        pass
    return savepoint


def test_who_took_the_very_same_lock_again_meanwhile_is_left_alone(actor):
    one = actor()
    one.enter(transaction.atomic())
    savepoint = one.do(_give_back_and_take_again, 42)
    seen = look(one.pid)
    one.do(transaction.savepoint_rollback, savepoint)
    assert look(one.pid).refusal is Outcome.FOREIGN
    # A marker is as old as the clock says, in hundredths of a second.
    ask("SELECT pg_sleep(0.02)")
    one.do(_give_back_and_take_again, 42)
    assert look(one.pid).refusal is None

    assert _ask_to_end(one.pid, seen=seen) is Outcome.CHANGED
    assert _is_there(one.pid)
    assert Termination.objects.get().outcome == "changed"


def test_who_gave_back_one_of_several_locks_is_left_alone(holder):
    savepoint = holder.do(_give_back_and_take_again, 43)
    seen = look(holder.pid)
    assert len(seen.locks) == 2
    holder.do(transaction.savepoint_rollback, savepoint)

    assert _ask_to_end(holder.pid, seen=seen) is Outcome.CHANGED
    assert _is_there(holder.pid)


def test_who_took_another_lock_as_well_is_ended_all_the_same(holder):
    seen = look(holder.pid)
    holder.do(_give_back_and_take_again, 43)

    assert _ask_to_end(holder.pid, seen=seen) is Outcome.ENDED


def test_a_wait_that_came_to_its_end_changes_nothing_about_what_is_held(holder, actor):
    """Who waits has a marker of the wait, too; it does not belong to what was shown as held."""
    other = actor()
    other.enter(transaction.atomic())
    other.enter(advisory_lock(AGENT, 7))
    waiting = holder.start_entering(advisory_lock(AGENT, 7))
    until_waiting(holder)
    seen = look(holder.pid)
    other.leave()
    waiting.result(PATIENCE)

    assert _ask_to_end(holder.pid, seen=seen) is Outcome.ENDED


def test_a_session_that_began_later_is_another_one_whatever_its_number(holder):
    seen = look(holder.pid)
    earlier = type(seen)(seen.pid, False, ask("SELECT %s - interval '1 ms'", [seen.began_at]), seen.marks, seen.locks)

    assert _ask_to_end(holder.pid, seen=earlier) is Outcome.CHANGED
    assert _is_there(holder.pid)


def test_it_does_not_end_another_one_than_it_looked_at(holder, actor):
    with pytest.raises(ValueError, match="was looked at"):
        terminate(actor().pid, by="ada", seen=look(holder.pid))


def test_its_own_session_is_refused():
    own = ask("SELECT pg_backend_pid()")

    assert _ask_to_end(own) is Outcome.OWN
    assert ask("SELECT pg_backend_pid()") == own
    assert Termination.objects.get().outcome == "own"


@pytest.mark.parametrize(
    "take",
    [
        None,
        "SELECT pg_advisory_lock(5)",
        "SELECT pg_advisory_lock_shared(1 << 24, 5)",
    ],
)
def test_a_session_that_holds_no_lock_of_ours_is_refused(actor, take):
    stranger = actor()
    if take:
        stranger.do(ask, take)

    assert _ask_to_end(stranger.pid) is Outcome.FOREIGN
    assert _is_there(stranger.pid)
    assert Termination.objects.get().outcome == "foreign"


def test_a_session_that_only_waits_is_refused(holder, actor):
    waiter = actor()
    waiter.enter(transaction.atomic())
    waiter.start_entering(advisory_lock(AGENT, 42))
    until_waiting(waiter)

    assert _ask_to_end(waiter.pid) is Outcome.FOREIGN
    assert _is_there(waiter.pid)


def test_a_number_that_no_session_has_is_refused():
    assert _ask_to_end(2**31 - 1) is Outcome.FOREIGN


def test_a_holder_of_another_database_is_refused(transactional_db):
    key = LockKey(AGENT, 42)
    elsewhere = psycopg.connect(**connection.get_connection_params() | {"dbname": "postgres"}, autocommit=True)
    try:
        elsewhere.execute("SELECT pg_advisory_lock(%s::bigint)", [str(key.id)])
        elsewhere.execute("SELECT pg_advisory_lock_shared(%s, 1)", [1 << 24 | key.id % 2**24])
        assert _ask_to_end(elsewhere.info.backend_pid) is Outcome.FOREIGN
        assert elsewhere.execute("SELECT 1").fetchone() == (1,)
    finally:
        elsewhere.close()


def test_what_the_database_does_not_allow_is_said_and_on_record(holder):
    """A holder of another role, as one sees it who is no superuser."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE watcher; GRANT ALL ON ALL TABLES IN SCHEMA public TO watcher")
        cursor.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO watcher; GRANT pg_read_all_stats TO watcher")
        cursor.execute("SET ROLE watcher")
    try:
        assert _ask_to_end(holder.pid) is Outcome.FORBIDDEN
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE; DROP OWNED BY watcher; DROP ROLE watcher")
    assert _is_there(holder.pid)
    assert Termination.objects.get().outcome == "forbidden"


def test_it_is_on_record_before_the_session_is_told(holder, monkeypatch):
    """Who is killed in between leaves a row without an outcome."""

    def killed(seen, using):
        raise KeyboardInterrupt

    monkeypatch.setattr("locks.termination._ended", killed)
    with pytest.raises(KeyboardInterrupt):
        _ask_to_end(holder.pid)

    assert (Termination.objects.get().outcome, Termination.objects.get().ended_at) == ("", None)


def test_inside_a_transaction_it_is_refused(holder):
    with pytest.raises(RuntimeError), transaction.atomic():
        _ask_to_end(holder.pid)
    assert _is_there(holder.pid)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE locks_termination SET outcome = 'stays'",
        "UPDATE locks_termination SET outcome = ''",
        "UPDATE locks_termination SET reason = 'another'",
        "UPDATE locks_termination SET ended_at = now()",
        "DELETE FROM locks_termination",
        "TRUNCATE locks_termination",
    ],
)
def test_what_is_on_record_stays(holder, change):
    _ask_to_end(holder.pid)
    with pytest.raises(DatabaseError, match="stays as it is written"), connection.cursor() as cursor:
        cursor.execute(change)

    assert Termination.objects.get().outcome == "ended"


def test_while_the_outcome_is_open_nothing_but_the_outcome_can_be_written(transactional_db):
    row = Termination.objects.create(asked_at=ask("SELECT now()"), by="ada", pid=1)
    for change in ("reason = 'another', outcome = 'ended'", "ended_at = now()", "outcome = 'ended', pid = 2"):
        with pytest.raises(DatabaseError, match="stays as it is written"), connection.cursor() as cursor:
            cursor.execute(f"UPDATE locks_termination SET {change}")
    Termination.objects.filter(pk=row.pk).update(outcome="stays")

    assert Termination.objects.get().outcome == "stays"


def test_a_session_that_is_ended_is_gone_when_that_is_said(holder):
    _ask_to_end(holder.pid)

    until(lambda: not _is_there(holder.pid))
    assert ask("SELECT count(*) FROM pg_locks WHERE pid = %s", [holder.pid]) == 0
