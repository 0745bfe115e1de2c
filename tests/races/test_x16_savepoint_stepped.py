"""X16, in every order: a savepoint that is rolled back gives back the locks that were taken in it, and no others.

So who goes on in that transaction has to ask anew, and who had the lock before the savepoint keeps it.
"""

from contextlib import contextmanager, suppress

import pytest
from django.contrib.auth.models import Group
from django.db import transaction

import locks
from locks import LockLost, LockNamespace
from locks.testing import Scene
from tests.races.exploring import COMMIT, LOCK, explored, found_wrong
from tests.races.mutants import replaced

pytestmark = pytest.mark.django_db(transaction=True)
KEY = LockNamespace.AGENT, 16
STOPS = (LOCK, "ROLLBACK TO SAVEPOINT", "RELEASE SAVEPOINT", 'SELECT "auth_group"', 'UPDATE "auth_group"', COMMIT)


class Undo(Exception):
    """Rolls a savepoint back."""


def add_one():
    """Count one more; who does so without the lock may lose a count."""
    with locks.advisory_lock(*KEY):
        count_one()


def count_one():
    group = Group.objects.get()
    group.name = str(int(group.name) + 1)
    group.save()


def add_one_at_once():
    with transaction.atomic():
        add_one()


def add_one_at_the_second_try():
    """The first try is undone; what it took goes with it."""
    with transaction.atomic():
        with suppress(Undo), transaction.atomic():
            add_one()
            raise Undo
        add_one()


def add_one_around_a_failed_try():
    """The lock is older than the savepoint: it stays."""
    with transaction.atomic(), locks.advisory_lock(*KEY) as held:
        with suppress(Undo), transaction.atomic():
            count_one()
            raise Undo
        held.verify()
        count_one()


def add_one_in_a_savepoint_that_stays():
    """The lock is kept beyond the savepoint that it was taken in, to the transaction's end."""
    with transaction.atomic():
        with transaction.atomic():
            add_one()
        Group.objects.count()


def both(act):
    def make():
        Group.objects.all().delete()
        Group.objects.create(name="0")
        return Scene({"one": act, "other": add_one_at_once}, STOPS)

    def check(outcome):
        assert Group.objects.get().name == "2", "a count is lost"

    return make, check


@pytest.mark.parametrize(
    "act", [add_one_at_the_second_try, add_one_around_a_failed_try, add_one_in_a_savepoint_that_stays]
)
def test_no_count_is_lost_in_any_order(act):
    assert explored(*both(act)).met


def test_who_waits_is_let_in_as_soon_as_the_savepoint_is_rolled_back():
    """Between the two tries the other one may have it all to itself."""
    between = []

    def check(outcome):
        undone = outcome.schedule.index("one: ROLLBACK TO SAVEPOINT")
        done = outcome.schedule.index(f"other: {COMMIT}")
        between.append(undone < done < outcome.schedule.index(f"one: {COMMIT}"))

    explored(both(add_one_at_the_second_try)[0], check)
    assert True in between


@contextmanager
def _believed():
    """The mutant: a register beside the database that remembers what was taken, and not that it was given back."""
    taken = set()

    @contextmanager
    def lock(namespace, key):
        transaction_id = transaction.get_connection().connection
        if transaction_id in taken:
            yield
            return
        with real(namespace, key):
            taken.add(transaction_id)
            yield

    real = locks.advisory_lock
    with replaced(locks, "advisory_lock", lock):
        yield


def test_mutant_that_believes_its_own_register_loses_a_count_in_some_order():
    with _believed(), found_wrong("a count is lost"):
        explored(*both(add_one_at_the_second_try))


def test_mutant_inside_the_section_the_lock_is_given_back_and_verify_says_so():
    """By hand a savepoint can be rolled back around the section that goes on: only ``verify`` stands there."""

    def act(verifies):
        with transaction.atomic():
            before = transaction.savepoint()
            with locks.advisory_lock(*KEY) as held:
                transaction.savepoint_rollback(before)
                if verifies:
                    held.verify()
                count_one()

    def scene(verifies):
        make, check = both(lambda: act(verifies))
        return lambda: Scene(make().sessions, STOPS, raises=(LockLost,)), check

    with found_wrong("a count is lost"):
        explored(*scene(verifies=False))
    make, _ = scene(verifies=True)
    explored(make, lambda outcome: is_refused(outcome.results["one"]))


def is_refused(result):
    assert isinstance(result, LockLost), "it went on"
    assert Group.objects.get().name == "1"
