from datetime import timedelta

import psycopg
import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from locks import LockKey, LockNamespace, advisory_lock, labelled, monitor
from locks.errors import MonitorTimeout
from locks.monitor import name_keys, snapshot
from tests.locks.actors import PATIENCE, advisory_locks, ask, until, until_waiting

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


def _hold(actor, key=42, namespace=AGENT, who="hook stop", correlation_id="c-1"):
    holder = actor()
    holder.enter(transaction.atomic())
    holder.enter(labelled(who, correlation_id))
    holder.enter(advisory_lock(namespace, key))
    return holder


def _wait(actor, key=42, namespace=AGENT):
    waiter = actor()
    waiter.enter(transaction.atomic())
    waiter.enter(labelled("cycle reap", "c-2"))
    waiter.start_entering(advisory_lock(namespace, key))
    until_waiting(waiter)
    return waiter


def _seen():
    return [lock.as_json() for lock in snapshot().locks]


def test_nothing_is_shown_where_nothing_is_held(db):
    assert snapshot().as_json() | {"room": {}} == {
        "count": 0,
        "locks": [],
        "recent": {"timeouts": 0, "skips": 0, "waits_over_1s": 0, "lost": 0},
        "room": {},
        "incidents": [],
    }


def test_a_holder_is_shown_with_who_since_when_and_whence(actor):
    holder = _hold(actor)
    (lock,) = _seen()
    held = lock.pop("held_seconds")
    client = lock.pop("client")

    assert lock == {
        "namespace": "AGENT",
        "key": 42,
        "agent": None,
        "name": None,
        "mode": "exclusive",
        "granted": True,
        "pid": holder.pid,
        "holder": "hook stop",
        "correlation_id": "c-1",
        "held_at_most": None,
        "wait_seconds": None,
        "queue_position": None,
        "blocked_by": [],
        "blocks": [],
        "scope": "transaction",
        "ghost": None,
    }
    assert 0 <= held < PATIENCE
    assert client


def test_a_lock_of_session_scope_is_shown_as_that_and_is_no_ghost_though_its_connection_is_idle(actor):
    holder = actor()
    holder.enter(advisory_lock(AGENT, 42, scope="session"))

    assert [(lock["key"], lock["scope"], lock["ghost"]) for lock in _seen()] == [(42, "session", None)]


def test_held_seconds_rise_and_count_from_the_grant_and_not_from_the_wait(actor):
    holder = _hold(actor)
    waiter = _wait(actor)
    ask("SELECT pg_sleep(0.2)")
    assert _seen()[0]["held_seconds"] >= 0.19
    holder.leave()
    until(lambda: len(_seen()) == 1)
    (lock,) = _seen()

    assert lock["pid"] == waiter.pid
    assert lock["held_seconds"] < 0.19


def test_a_waiter_is_shown_behind_whom_it_waits(actor):
    holder = _hold(actor)
    first, second = _wait(actor), _wait(actor)
    held, *waiting = _seen()

    assert (held["pid"], held["blocked_by"], held["blocks"]) == (holder.pid, [], [first.pid, second.pid])
    assert [lock["pid"] for lock in waiting] == [first.pid, second.pid]
    assert waiting[0]["blocked_by"] == [holder.pid]
    # The server counts who stands before it in the queue as well.
    assert waiting[1]["blocked_by"] == sorted([holder.pid, first.pid])
    assert [lock["blocks"] for lock in waiting] == [[second.pid], []]
    for lock in waiting:
        assert (lock["namespace"], lock["key"], lock["granted"]) == ("AGENT", 42, False)
        assert lock["held_seconds"] is None
        assert lock["wait_seconds"] >= 0
        assert (lock["holder"], lock["correlation_id"]) == ("cycle reap", "c-2")
    assert [lock["queue_position"] for lock in (held, *waiting)] == [None, 1, 2]


@pytest.mark.parametrize("key", [0, -1, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63)])
def test_every_key_of_64_bits_is_shown_as_it_was_taken(actor, key):
    _hold(actor, key)

    assert [(lock["namespace"], lock["key"]) for lock in _seen()] == [("AGENT", key)]


@pytest.mark.parametrize("lock_id", [-(2**63), 2**63 - 1, 0])
def test_every_id_can_be_taken(actor, lock_id):
    key = LockKey.from_id(AGENT, lock_id)
    _hold(actor, key.key)

    assert [lock["key"] for lock in _seen()] == [key.key]


def test_several_locks_of_one_session_are_told_apart(actor):
    holder = _hold(actor, 1, LockNamespace.SESSION)
    holder.enter(advisory_lock(AGENT, 1))
    holder.enter(advisory_lock(AGENT, 2))

    assert {(lock["namespace"], lock["key"]) for lock in _seen()} == {("AGENT", 1), ("AGENT", 2), ("SESSION", 1)}


def test_places_in_the_queue_are_counted_for_each_lock(actor):
    _hold(actor, 1)
    _hold(actor, 2)
    waiters = [_wait(actor, key) for key in (1, 2, 1, 1)]
    places = {lock["pid"]: lock["queue_position"] for lock in _seen() if not lock["granted"]}

    assert [places[waiter.pid] for waiter in waiters] == [1, 1, 2, 3]


def test_it_says_how_full_the_servers_table_is(actor):
    before = snapshot().room
    stranger = actor()
    stranger.do(ask, "SELECT count(pg_advisory_lock(key)) FROM generate_series(1, 100) AS key")
    room = snapshot().room

    assert room.taken >= before.taken + 100 - 20
    settings = [int(ask(f"SHOW {name}")) for name in ("max_locks_per_transaction", "max_connections")]
    assert room.nominal >= settings[0] * settings[1]
    assert room.percent == 100 * room.taken / room.nominal


def test_a_key_that_was_a_text_is_shown_with_it(actor):
    key = LockKey(AGENT, "nightly")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM locks_name")
        cursor.execute("INSERT INTO locks_name VALUES (%s::bigint, 1, 'nightly', now())", [str(key.id)])
    holder = _hold(actor, key.key)
    holder.enter(advisory_lock(AGENT, 2))

    assert {lock["key"]: lock["name"] for lock in _seen()} == {key.key: "nightly", 2: None}
    assert "AGENT nightly" in [lock.title for lock in snapshot().locks]


def test_texts_that_somebody_locks_hide_the_texts_and_not_the_locks(actor, monkeypatch):
    monkeypatch.setattr("locks.monitor.STATEMENT_TIMEOUT", timedelta(milliseconds=200))
    _hold(actor, LockKey(AGENT, "nightly").key)
    alterer = actor()
    alterer.enter(transaction.atomic())
    alterer.do(_lock_table, "locks_name")

    assert [(lock["holder"], lock["name"]) for lock in _seen()] == [("hook stop", None)]


def test_locks_of_another_database_are_not_shown(transactional_db):
    elsewhere = psycopg.connect(**connection.get_connection_params() | {"dbname": "postgres"})
    try:
        elsewhere.execute("SELECT pg_advisory_lock(5)")
        assert elsewhere.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (1,)
        assert _seen() == []
    finally:
        elsewhere.close()


def test_a_holder_that_waits_for_somebodys_row_is_followed_to_that_somebody(actor):
    """The root of the jam has no advisory lock at all."""
    Group.objects.create(name="a")
    root, holder = actor(), _hold(actor)
    root.enter(transaction.atomic())
    root.do(lambda: Group.objects.select_for_update().get())
    stuck = holder.start(lambda: Group.objects.select_for_update().get())
    until_waiting(holder)
    waiter = _wait(actor)
    seen = snapshot()

    assert {lock.seen.raw.pid for lock in seen.locks} == {holder.pid, waiter.pid}
    assert seen.sessions[waiter.pid].blocked_by == (holder.pid,)
    assert seen.sessions[holder.pid].blocked_by == (root.pid,)
    assert seen.sessions[root.pid].blocked_by == ()
    root.leave()
    stuck.result(PATIENCE)


def test_keys_are_shown_by_the_names_that_somebody_knows(actor, monkeypatch):
    monkeypatch.setattr("locks.monitor._resolvers", {})
    name_keys(AGENT, lambda keys: {key: f"agent number {key}" for key in keys if key != 2})
    holder = _hold(actor, 1, LockNamespace.SESSION)
    holder.enter(advisory_lock(AGENT, 1))
    holder.enter(advisory_lock(AGENT, 2))

    assert {(lock["namespace"], lock["key"]): lock["agent"] for lock in _seen()} == {
        ("AGENT", 1): "agent number 1",
        ("AGENT", 2): None,
        ("SESSION", 1): None,
    }


def test_a_table_of_names_that_somebody_alters_hides_the_names_and_not_the_locks(actor, monkeypatch):
    monkeypatch.setattr("locks.monitor._resolvers", {})
    monkeypatch.setattr("locks.monitor.STATEMENT_TIMEOUT", timedelta(milliseconds=200))
    name_keys(AGENT, lambda keys: {key: Group.objects.get().name for key in keys})
    Group.objects.create(name="a")
    _hold(actor)
    assert [lock["agent"] for lock in _seen()] == ["a"]
    alterer = actor()
    alterer.enter(transaction.atomic())
    alterer.do(_lock_table, "auth_group")

    assert [(lock["holder"], lock["agent"]) for lock in _seen()] == [("hook stop", None)]


def _lock_table(name):
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")


def test_it_sees_the_present_though_its_caller_is_in_a_transaction(actor):
    with transaction.atomic():
        assert _seen() == []
        holder = _hold(actor)
        assert [lock["holder"] for lock in _seen()] == ["hook stop"]
        holder.leave()
        assert _seen() == []


def test_it_has_a_statement_timeout_of_its_own_and_leaves_the_callers(monkeypatch):
    with transaction.atomic():
        ask("SELECT set_config('statement_timeout', '7s', true)")
        snapshot()
        assert ask("SELECT current_setting('statement_timeout')") == "7s"

        monkeypatch.setattr("locks.monitor._LOCKS", "SELECT pg_sleep(60)")
        monkeypatch.setattr("locks.monitor.STATEMENT_TIMEOUT", timedelta(milliseconds=20))
        with pytest.raises(MonitorTimeout):
            snapshot()
        assert ask("SELECT current_setting('statement_timeout')") == "7s"
    assert ask("SELECT current_setting('statement_timeout')") == "0"


def test_a_holder_that_ends_while_it_is_looked_at_is_no_error(actor, monkeypatch):
    holder = _hold(actor)

    def gone(cursor, pids, waiting):
        ask("SELECT pg_terminate_backend(%s)", [holder.pid])
        until(lambda: advisory_locks(holder.pid) == 0)
        return {}

    monkeypatch.setattr("locks.monitor._sessions", gone)
    (lock,) = _seen()
    assert (lock["pid"], lock["holder"], lock["client"]) == (holder.pid, "unknown", "")


def test_it_asks_for_blockers_once_for_each_session_that_waits(actor):
    """pg_blocking_pids stops the lock manager: never once for each lock."""
    holder = _hold(actor)
    for key in range(100, 120):
        holder.enter(advisory_lock(AGENT, key))
    _wait(actor)
    _wait(actor)
    calls = "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'counted_blocking_pids'"
    counted = monitor._SESSIONS.replace("pg_blocking_pids", "counted_blocking_pids")
    pids = [lock.seen.raw.pid for lock in snapshot().locks]
    with transaction.atomic():
        ask("SELECT set_config('track_functions', 'all', true)")
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION counted_blocking_pids(integer) RETURNS integer[] LANGUAGE plpgsql VOLATILE AS"
                " $$ BEGIN RETURN pg_blocking_pids($1); END $$"
            )
            cursor.execute(counted, [[], pids])
        assert len(pids) == 23
        assert ask(calls) == 2
        transaction.set_rollback(True)
