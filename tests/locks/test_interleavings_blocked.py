"""The step scheduler tells who is blocked from who can go on, as the server says, and reports a deadlock."""

import threading

import pytest
from django.db import transaction

from locks import LockNamespace, advisory_lock
from locks.testing import (
    Deadlock,
    Explored,
    Scene,
    ScheduleFailed,
    assert_no_locks_left,
    explore,
    facts,
    interleavings,
    replay,
    step,
)
from tests.locks.actors import ask
from tests.locks.bank import (
    account,  # noqa: F401 - a fixture
    two,
    withdraw_after_a_row_lock,
    withdraw_under_the_lock,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_who_waits_is_never_chosen_and_stops_again_when_the_wait_is_over():
    def act():
        with transaction.atomic(), advisory_lock(LockNamespace.AGENT, 1):
            step("inside")

    schedules = []
    explored = explore(two(act, "COMMIT"), lambda outcome: schedules.append(outcome.schedule))
    # The lock is taken before the first stop: the other one waits from the beginning.
    assert explored == Explored(runs=1, met=1)
    assert schedules == [
        ("one: inside", "one: COMMIT", "other: goes on after its wait", "other: inside", "other: COMMIT")
    ]


def test_who_is_woken_does_not_run_on_beside_who_woke_it():
    def act():
        withdraw_after_a_row_lock()
        step("after")

    schedules = []
    explore(two(act, "COMMIT"), lambda outcome: schedules.append(outcome.schedule))
    woken = "other: goes on after its wait"
    assert [schedule.index("one: after") - schedule.index(woken) for schedule in schedules] == [-1, 1, 2, 3]


def crossing(first, second):
    def act():
        with transaction.atomic(), advisory_lock(LockNamespace.AGENT, first):
            step("between")
            with advisory_lock(LockNamespace.AGENT, second):
                pass

    return act


def test_a_deadlock_is_reported_with_its_schedule_before_the_server_ends_it():
    scene = Scene({"one": crossing(1, 2), "other": crossing(2, 1)})
    with pytest.raises(Deadlock, match="one and other wait") as found:
        explore(lambda: scene, lambda outcome: None)
    assert found.value.schedule == ["one: between", "other: between"]
    assert_no_locks_left()
    with pytest.raises(Deadlock):
        replay(lambda: scene, found.value.schedule)


def test_in_one_order_there_is_no_deadlock():
    scene = Scene({"one": crossing(1, 2), "other": crossing(1, 2)}, stops=("SELECT", "COMMIT"))
    assert explore(lambda: scene, lambda outcome: None).met > 0


def test_a_wait_that_the_server_knows_nothing_of_is_no_step(monkeypatch):
    monkeypatch.setattr(interleavings, "WITHIN", 0.2)
    gate = threading.Event()
    scene = Scene({"one": lambda: gate.wait(interleavings.WITHIN * 2), "other": lambda: None})
    with pytest.raises(ScheduleFailed, match=r"nothing happens within 0\.2 s\n(.|\n)*one is at(.|\n)*gate\.wait"):
        explore(lambda: scene, lambda outcome: None)


def test_a_lock_that_nobody_of_the_scene_holds_is_a_deadlock_too():
    with transaction.atomic(), advisory_lock(LockNamespace.AGENT, 1), pytest.raises(Deadlock, match="other wait"):
        explore(lambda: Scene({"other": withdraw_under_the_lock}), lambda outcome: None)
    assert_no_locks_left()


def test_the_locks_of_who_is_done_are_gone_before_the_next_step():
    def keep():
        ask("SELECT pg_advisory_lock(7) IS NULL")

    def take():
        step("try")
        return ask("SELECT pg_try_advisory_lock(7)")

    outcomes = []
    explore(lambda: Scene({"keep": keep, "take": take}), outcomes.append)
    assert [outcome.results["take"] for outcome in outcomes] == [True]


# -- locks that are on no connection of Django's ------------------------------


def fenced_section():
    with advisory_lock(LockNamespace.AGENT, 1, scope="session") as lock:
        step("inside")
        with transaction.atomic():
            lock.verify()


def test_who_waits_on_a_connection_for_locks_is_blocked_too():
    schedules = []
    explored = explore(two(fenced_section), lambda outcome: schedules.append(outcome.schedule))
    # Woken beside the one that let go, the second one stops at its own first step.
    assert explored == Explored(runs=1, met=1)
    assert schedules == [("one: inside", "other: inside")]


def test_a_statement_after_such_a_wait_is_a_stop_where_there_is_none_before():
    def act():
        with advisory_lock(LockNamespace.AGENT, 1, scope="session"):
            ask("SELECT 1")
            step("inside")

    schedules = []
    explore(two(act), lambda outcome: schedules.append(outcome.schedule))
    assert schedules == [("one: inside", "other: goes on after its wait", "other: inside")]


def test_a_circle_over_several_connections_is_a_deadlock_which_the_server_would_never_see():
    def act(first, second):
        with facts.watcher() as one, facts.watcher() as other:
            one.ask("SELECT pg_advisory_lock(%s) IS NULL", [first])
            step("between")
            other.ask("SELECT pg_advisory_lock(%s) IS NULL", [second])

    scene = Scene({"one": lambda: act(1, 2), "other": lambda: act(2, 1)})
    with pytest.raises(Deadlock):
        explore(lambda: scene, lambda outcome: None)
    assert_no_locks_left()


# -- others than the scene's --------------------------------------------------


def test_who_waits_for_nobody_of_the_database_is_not_taken_for_blocked(monkeypatch):
    """As where an autovacuum worker is in the way, which goes away by itself."""
    nobody = facts._BLOCKED.replace(f"ARRAY({facts._CLIENTS})", "ARRAY[0]")
    assert nobody != facts._BLOCKED
    monkeypatch.setattr(facts, "_BLOCKED", nobody)
    monkeypatch.setattr(interleavings, "WITHIN", 0.2)
    with pytest.raises(ScheduleFailed, match="nothing happens"):
        explore(two(withdraw_under_the_lock, "COMMIT"), lambda outcome: None)
