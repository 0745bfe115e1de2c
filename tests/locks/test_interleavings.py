"""The step scheduler finds every order once, checks each outcome, and fails with a schedule that can be replayed."""

import doctest

import pytest
from django.db import transaction
from django.db.utils import OperationalError

from locks.testing import (
    Explored,
    Scene,
    ScheduleFailed,
    TooManyRuns,
    Unrepeatable,
    explore,
    interleavings,
    replay,
    step,
)
from tests.locks.actors import ask
from tests.locks.bank import (
    Account,
    account,  # noqa: F401 - a fixture
    two,
    withdraw,
    withdraw_after_a_row_lock,
    withdraw_under_the_lock,
)

pytestmark = pytest.mark.django_db(transaction=True)


def nothing_is_lost(outcome):
    assert Account.objects.get().balance == 0, "a withdrawal is lost"


def three_steps():
    for name in ("a", "b", "c"):
        step(name)


# -- every order, once --------------------------------------------------------


@pytest.mark.parametrize(("sessions", "orders"), [(1, 1), (2, 20), (3, 1680)])
def test_every_order_of_independent_steps_is_run_once(sessions, orders):
    seen = []
    scene = Scene(dict.fromkeys("xyz"[:sessions], three_steps))
    explored = explore(lambda: scene, lambda outcome: seen.append(outcome.schedule), most=2000)
    assert explored == Explored(runs=orders, met=0)
    assert len(set(seen)) == orders
    assert all(len(schedule) == 3 * sessions for schedule in seen)


def test_three_sessions_of_two_steps_have_ninety_orders():
    def two_steps():
        step("a")
        step("b")

    assert explore(lambda: Scene(dict.fromkeys("xyz", two_steps)), lambda outcome: None).runs == 90


def test_statements_are_steps_too():
    explored = explore(two(lambda: [Account.objects.count(), Account.objects.count()], "SELECT COUNT"), lambda o: None)
    assert explored.runs == 6


def test_commits_and_rollbacks_are_steps_too():
    def act():
        with transaction.atomic():
            Account.objects.update(balance=1)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            _ = 1 / 0

    outcome = replay(lambda: Scene({"one": act}, ("COMMIT", "ROLLBACK", "UPDATE")), [])
    assert outcome.schedule == ("one: UPDATE", "one: COMMIT", "one: ROLLBACK")


def test_more_orders_than_were_allowed_are_an_error():
    scene = Scene(dict.fromkeys("xy", three_steps))
    with pytest.raises(TooManyRuns, match="more than 19"):
        explore(lambda: scene, lambda outcome: None, most=19)
    assert explore(lambda: scene, lambda outcome: None, most=20).runs == 20


def test_a_step_is_nothing_outside_a_scene():
    step("alone")


# -- the invariant ------------------------------------------------------------


def test_a_lost_update_is_found_and_can_be_seen_again():
    scene = two(withdraw, "SELECT", "UPDATE")
    with pytest.raises(ScheduleFailed, match="a withdrawal is lost") as found:
        explore(scene, nothing_is_lost)
    schedule = found.value.schedule
    assert schedule[:2] == ["one: SELECT", "other: SELECT"]
    assert repr(schedule[0]) in str(found.value)
    for _ in range(3):
        with pytest.raises(ScheduleFailed, match="a withdrawal is lost") as again:
            replay(scene, schedule, nothing_is_lost)
        assert again.value.schedule == schedule


@pytest.mark.parametrize("act", [withdraw_under_the_lock, withdraw_after_a_row_lock])
def test_with_a_lock_nothing_is_lost_in_any_order(act):
    explored = explore(two(act, "SELECT", "UPDATE", "COMMIT"), nothing_is_lost)
    assert explored.runs >= explored.met > 1


def test_the_check_is_told_what_came_of_each_session():
    outcomes = []
    scene = Scene({"one": lambda: step("a") or 7, "other": lambda: int("x")}, raises=(ValueError,))
    explore(lambda: scene, outcomes.append)
    (outcome,) = outcomes
    assert outcome.results["one"] == 7
    assert isinstance(outcome.results["other"], ValueError)


def test_an_error_that_was_not_foreseen_fails_the_run_with_its_schedule():
    def act():
        step("a")
        raise ValueError("what is this?")

    scene = Scene({"one": act, "other": lambda: step("b")}, raises=(KeyError,))
    with pytest.raises(ScheduleFailed, match=r"one raised ValueError\('what is this\?'\)") as failed:
        explore(lambda: scene, lambda outcome: None)
    assert failed.value.schedule == ["one: a", "other: b"]
    assert isinstance(failed.value.__cause__, ValueError)


# -- again --------------------------------------------------------------------


def test_a_scene_that_is_not_set_back_is_noticed():
    names = iter("abcdefgh")

    def act():
        step(next(names))
        step("more")

    with pytest.raises(Unrepeatable):
        explore(lambda: Scene({"one": act, "other": act}), lambda outcome: None)


@pytest.mark.parametrize("schedule", [["one: b"], ["one: a", "one: b", "one: c", "one: d"]])
def test_a_schedule_that_does_not_fit_is_refused(schedule):
    with pytest.raises(Unrepeatable):
        replay(lambda: Scene({"one": three_steps}), schedule)


def test_a_schedule_that_ends_early_goes_on_with_who_comes_first():
    outcome = replay(lambda: Scene(dict.fromkeys("xy", three_steps)), ["y: a"])
    assert outcome.schedule == ("y: a", "x: a", "x: b", "x: c", "y: b", "y: c")


def test_a_session_that_loses_its_connection_is_done_with_an_error():
    def act():
        pid = ask("SELECT pg_backend_pid()")
        step("asked")
        ask("SELECT pg_terminate_backend(%s)", [pid])

    outcome = replay(lambda: Scene({"one": act}, raises=(OperationalError,)), [])
    assert isinstance(outcome.results["one"], OperationalError)


# -- the example --------------------------------------------------------------


def test_the_example_in_the_module_does_what_it_says():
    names = {"Account": Account, "transaction": transaction, "Scene": Scene, "explore": explore}
    example = doctest.DocTestParser().get_doctest(interleavings.__doc__, names, "interleavings", None, 0)
    ran = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert (ran.failed, ran.attempted) == (0, 4)
