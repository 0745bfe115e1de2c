import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import Manager
from django.test.utils import CaptureQueriesContext

from locks import LockingQuerySet, LockKey, LockTimeout, NotInTransaction, RowBusy, advisory_lock
from tests.locks.actors import PATIENCE, ask, until_waiting

pytestmark = pytest.mark.django_db(transaction=True)


class Groups(LockingQuerySet):
    lock_namespace = 100


class Sessions(LockingQuerySet):
    lock_namespace = 101


def _groups():
    return Groups(Group)


@pytest.fixture
def group():
    return Group.objects.create(name="before")


def _rename(pk, name):
    Group.objects.filter(pk=pk).update(name=name)


def test_a_locked_row_is_as_it_was_when_the_lock_was_granted_and_not_when_it_was_asked_for(actor, group):
    """X15 at the primitive: the write that was committed while we waited is seen."""
    holder, other = actor(), actor()
    holder.enter(transaction.atomic())
    holder.enter(advisory_lock(100, group.pk))
    other.enter(transaction.atomic())
    waiting = other.start(lambda: _groups().locked(group.pk))
    until_waiting(other)
    holder.do(_rename, group.pk, "after")
    holder.leave()

    assert waiting.result(PATIENCE).name == "after"


def test_mutant_one_statement_that_locks_and_reads_returns_the_row_as_it_was_before(actor, group):
    holder, other = actor(), actor()
    holder.enter(transaction.atomic())
    holder.enter(advisory_lock(100, group.pk))
    other.enter(transaction.atomic())
    both = "SELECT (SELECT name FROM auth_group WHERE id = %s), pg_advisory_xact_lock(%s::bigint)"
    waiting = other.start(ask, both, [group.pk, str(LockKey(100, group.pk).id)])
    until_waiting(other)
    holder.do(_rename, group.pk, "after")
    holder.leave()

    assert waiting.result(PATIENCE) == "before"


def test_locking_a_row_costs_two_statements(group):
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        _groups().locked(group.pk)

    assert len(queries) == 2


def test_a_row_is_locked_by_the_key_of_its_primary_key(group):
    with transaction.atomic():
        _groups().locked(str(group.pk))

        assert ask("SELECT locks_holds(%s::bigint)", [str(LockKey(100, group.pk).id)])
    assert Sessions(Session).lock_key("abc") == LockKey(101, "abc")


def test_a_busy_row_times_out_and_leaves_the_transaction_usable(actor, group):
    holder = actor()
    holder.enter(transaction.atomic())
    holder.do(lambda: _groups().locked(group.pk))
    with transaction.atomic():
        with pytest.raises(LockTimeout):
            _groups().locked(group.pk, timeout=0.02)

        assert Group.objects.get().name == "before"


def test_the_filters_of_the_queryset_count(group):
    with transaction.atomic(), pytest.raises(Group.DoesNotExist):
        _groups().filter(name="other").locked(group.pk)


@pytest.mark.parametrize("way", ["locked", "locked_nowait"])
def test_a_row_that_is_not_there_is_an_error_and_leaves_the_transaction_usable(way):
    with transaction.atomic():
        with pytest.raises(Group.DoesNotExist):
            getattr(_groups(), way)(1)
        assert not Group.objects.exists()


@pytest.mark.parametrize("way", ["locked", "locked_nowait"])
def test_outside_a_transaction_it_is_refused(way, group):
    with pytest.raises(NotInTransaction):
        getattr(_groups(), way)(group.pk)


@pytest.mark.parametrize("way", ["locked", "locked_nowait"])
def test_what_is_no_primary_key_is_refused(way):
    with transaction.atomic(), pytest.raises(ValueError, match="expected a number"):
        getattr(_groups(), way)("x")


def test_a_row_that_another_transaction_has_locked_is_busy_and_the_transaction_stays_usable(actor, group):
    holder = actor()
    holder.enter(transaction.atomic())
    holder.do(lambda: _groups().locked_nowait(group.pk))
    with transaction.atomic():
        with pytest.raises(RowBusy, match=r"auth.Group \d+ is locked by another transaction"):
            _groups().locked_nowait(group.pk)
        assert Group.objects.get().name == "before"
        holder.leave()

        assert _groups().locked_nowait(group.pk).name == "before"


def test_a_row_lock_lasts_until_the_transaction_ends(actor, group):
    other = actor()
    other.enter(transaction.atomic())
    with transaction.atomic():
        _groups().locked_nowait(group.pk)
        with pytest.raises(RowBusy):
            other.do(lambda: _groups().locked_nowait(group.pk))
    other.do(lambda: _groups().locked_nowait(group.pk))


def test_it_serves_as_a_manager(group):
    class Locking(Manager.from_queryset(Groups)):
        pass

    manager = Locking()
    manager.model = Group
    with transaction.atomic():
        assert manager.locked(group.pk) == group
        assert manager.locked_nowait(group.pk) == group


def test_a_queryset_without_a_namespace_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match="lock_namespace"):
        type("Nameless", (LockingQuerySet,), {})
