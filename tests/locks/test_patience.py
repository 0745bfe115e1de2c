import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, transaction

from locks import LockNamespace, LockTimeout, RowBusy, advisory_lock, milliseconds, patiently
from tests.locks.actors import PATIENCE, ask, until_waiting

AGENT = LockNamespace.AGENT
LONG = timedelta(seconds=PATIENCE)


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [(None, None), (0, 0), (1, 1000), (0.07, 70), (1.001, 1001), (0.0001, 1), (timedelta(seconds=15), 15_000)],
)
def test_a_timeout_is_whole_milliseconds_rounded_up(timeout, expected):
    assert milliseconds(timeout) == expected


@pytest.mark.parametrize("timeout", [-0.1, timedelta(seconds=-1), float("nan"), float("inf"), timedelta(days=25)])
def test_a_timeout_that_cannot_be_is_refused(timeout):
    with pytest.raises(ValueError, match="a timeout lies from 0 seconds to 24 days"):
        milliseconds(timeout)


@pytest.mark.django_db(transaction=True)
class TestPatiently:
    def test_it_returns_what_the_attempt_returns_and_hands_it_the_whole_patience(self):
        left = patiently(lambda left: left, LONG)

        assert timedelta(0) < left <= LONG

    def test_a_busy_attempt_is_made_again_in_a_new_transaction_with_less_patience(self):
        seen = []

        def attempt(left):
            Group.objects.create(name="once")
            seen.append((ask("SELECT txid_current()"), left))
            if len(seen) < 3:
                raise RowBusy
            return "done"

        assert patiently(attempt, LONG) == "done"
        transactions, budgets = zip(*seen, strict=True)
        assert len(set(transactions)) == 3
        assert list(budgets) == sorted(budgets, reverse=True)
        assert Group.objects.count() == 1

    def test_when_the_patience_is_over_the_last_refusal_is_raised(self):
        attempts = []

        def attempt(left):
            attempts.append(left)
            raise LockTimeout(len(attempts))

        with pytest.raises(LockTimeout) as caught:
            patiently(attempt, timedelta(milliseconds=500))
        assert caught.value.args == (len(attempts),)
        assert len(attempts) > 1
        assert attempts[-1] < attempts[0] <= timedelta(milliseconds=500)

    def test_without_patience_there_is_one_attempt(self):
        attempts = []

        def attempt(left):
            attempts.append(left)
            raise RowBusy

        with pytest.raises(RowBusy):
            patiently(attempt, timedelta(0))
        assert attempts == [timedelta(0)]

    def test_another_error_is_raised_at_once_and_nothing_is_kept(self):
        attempts = []

        def attempt(left):
            attempts.append(Group.objects.create(name="never"))
            ask("SELECT 1/0")

        with pytest.raises(Exception, match="division by zero"):
            patiently(attempt, LONG)
        assert len(attempts) == 1
        assert not Group.objects.exists()

    def test_a_deadlock_of_rows_is_made_again(self, actor):
        """Both lock the other's row; the server ends one, and its whole transaction is made again."""
        first, second = Group.objects.create(name="a"), Group.objects.create(name="b")
        meet = threading.Barrier(2)

        def cross(mine, others):
            tries = []

            def attempt(left):
                tries.append(left)
                ask("SELECT set_config('deadlock_timeout', '20ms', true)")
                Group.objects.select_for_update().get(pk=mine)
                if len(tries) == 1:
                    meet.wait(PATIENCE)
                Group.objects.filter(pk=others).update(name=f"{mine} was here")

            patiently(attempt, LONG)
            return len(tries)

        one = actor().start(cross, first.pk, second.pk)
        other = actor().start(cross, second.pk, first.pk)

        assert one.result(PATIENCE) + other.result(PATIENCE) >= 3
        assert {group.name for group in Group.objects.all()} == {f"{first.pk} was here", f"{second.pk} was here"}

    def test_a_serialisation_error_is_made_again(self, actor):
        group, other, tries = Group.objects.create(name="a"), actor(), []

        def attempt(left):
            tries.append(left)
            with transaction.get_connection().cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            mine = Group.objects.get(pk=group.pk)
            if len(tries) == 1:
                other.do(lambda: Group.objects.filter(pk=group.pk).update(name="b"))
            mine.name += "c"
            mine.save()

        patiently(attempt, LONG)
        assert len(tries) == 2
        assert Group.objects.get().name == "bc"

    def test_what_is_left_goes_on_as_the_locks_timeout(self, actor):
        holder, other = actor(), actor()
        holder.enter(transaction.atomic())
        holder.enter(advisory_lock(AGENT, 42))

        def attempt(left):
            with advisory_lock(AGENT, 42, timeout=left):
                return "done"

        waiting = other.start(patiently, attempt, LONG)
        until_waiting(other)
        holder.leave()
        assert waiting.result(PATIENCE) == "done"

    def test_inside_a_transaction_it_is_refused(self):
        with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
            patiently(lambda left: None, LONG)

    def test_a_busy_answer_of_the_database_itself_is_made_again(self):
        tries = []

        def attempt(left):
            tries.append(left)
            if len(tries) == 1:
                with connection.cursor() as cursor:
                    cursor.execute("DO $$ BEGIN RAISE lock_not_available; END $$")

        patiently(attempt, LONG)
        assert len(tries) == 2

    def test_an_operational_error_that_is_not_busy_is_raised(self):
        tries = []

        def attempt(left):
            tries.append(left)
            ask("SELECT set_config('statement_timeout', '10', true)")
            ask("SELECT pg_sleep(10)")

        with pytest.raises(OperationalError, match="statement timeout"):
            patiently(attempt, LONG)
        assert len(tries) == 1
