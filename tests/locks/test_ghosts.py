"""What the monitor says about locks that were taken outside our API."""

import pytest
from django.db import transaction

from locks import LockKey, LockNamespace, advisory_lock
from locks.monitor import snapshot
from tests.locks.actors import ask, until_waiting

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


def _seen():
    return [lock.as_json() for lock in snapshot().locks]


def test_foreign_locks_are_shown_with_their_raw_keys_and_their_scope():
    with transaction.atomic():
        ask("SELECT pg_advisory_xact_lock(-5)")
        ask("SELECT pg_advisory_xact_lock_shared(-1, 7)")
        seen = {str(lock["key"]): lock for lock in _seen()}

    assert [seen["-5"][field] for field in ("namespace", "mode", "held_seconds", "scope")] == [
        None,
        "exclusive",
        None,
        "transaction",
    ]
    assert seen["(-1, 7)"]["mode"] == "shared"


def test_a_foreign_lock_that_is_held_outside_a_transaction_is_of_session_scope(actor):
    stranger = actor()
    stranger.do(ask, "SELECT pg_advisory_lock(5)")
    (lock,) = _seen()

    assert (lock["scope"], lock["pid"], lock["correlation_id"]) == ("session", stranger.pid, None)
    assert lock["holder"] == "headspace"
    assert lock["ghost"] == "held by an idle connection"
    assert snapshot().ghosts[0].since.startswith("at most ")


def test_a_foreign_lock_in_a_transaction_was_held_at_most_as_long_as_that(actor):
    stranger = actor()
    ask("SELECT pg_sleep(0.1)")
    stranger.enter(transaction.atomic())
    stranger.do(ask, "SELECT pg_advisory_xact_lock(5)")
    (lock,) = _seen()

    assert (lock["ghost"], lock["held_seconds"]) == ("taken outside our API", None)
    assert 0 <= lock["held_at_most"] < 0.1


def test_a_foreign_lock_of_a_session_was_held_at_most_as_long_as_that(actor):
    stranger = actor()
    ask("SELECT pg_sleep(0.1)")
    stranger.do(ask, "SELECT pg_advisory_lock(5)")
    (lock,) = _seen()

    assert lock["held_at_most"] >= 0.1


def test_who_waits_for_a_ghost_is_none(actor):
    stranger = actor()
    stranger.do(ask, "SELECT pg_advisory_lock(%s::bigint)", [str(LockKey(AGENT, 42).id)])
    waiter = actor()
    waiter.enter(transaction.atomic())
    waiter.start_entering(advisory_lock(AGENT, 42))
    until_waiting(waiter)

    assert [lock["ghost"] for lock in _seen()] == ["held by an idle connection", None]
