"""The step scheduler finds every order once, tells who is blocked from who can go on, and fails with a schedule."""

import doctest
import threading

import pytest
from django.db import connection, models, transaction
from django.db.utils import OperationalError

from locks import LockNamespace, advisory_lock
from locks.testing import (
    Deadlock,
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
from tests.locks.actors import advisory_locks, ask

pytestmark = pytest.mark.django_db(transaction=True)


class Account(models.Model):
    balance = models.IntegerField()

    class Meta:
        app_label = "bank"
        managed = False
        db_table = "bank_account"

    def __str__(self):
        return f"{self.balance} left"


@pytest.fixture(autouse=True)
def account(transactional_db):
    with connection.schema_editor() as editor:
        editor.create_model(Account)
    Account.objects.create(balance=2)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Account)


def withdraw():
    """Read, think, write."""
    with transaction.atomic():
        account = Account.objects.get()
        account.balance -= 1
        account.save()


def withdraw_under_the_lock():
    with transaction.atomic(), advisory_lock(LockNamespace.AGENT, 1):
        withdraw()


def withdraw_after_a_row_lock():
    with transaction.atomic():
        account = Account.objects.select_for_update().get()
        account.balance -= 1
        account.save()


def two(act, *stops, **more):
    """Return a scene of two who do the same."""

    def scene():
        Account.objects.update(balance=2)
        return Scene({"one": act, "other": act}, stops, **more)

    return scene


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


# -- who is blocked -----------------------------------------------------------


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
    assert advisory_locks() == 0
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
    assert advisory_locks() == 0


def test_the_locks_of_who_is_done_are_gone_before_the_next_step():
    def keep():
        ask("SELECT pg_advisory_lock(7) IS NULL")

    def take():
        step("try")
        return ask("SELECT pg_try_advisory_lock(7)")

    outcomes = []
    explore(lambda: Scene({"keep": keep, "take": take}), outcomes.append)
    assert [outcome.results["take"] for outcome in outcomes] == [True]


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
