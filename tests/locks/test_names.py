"""Keys by name: texts, rows, registered namespaces, and two names that share a number."""

from enum import IntEnum

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from agents.models import Agent
from locks import LockKey, LockKeyCollision, LockNamespace, advisory_lock, advisory_locks, register_namespaces
from locks.keys import _registered, namespace_clashes, namespace_name
from tests.locks.actors import advisory_locks as counted
from tests.locks.actors import ask

pytestmark = pytest.mark.django_db(transaction=True)
SESSION = LockNamespace.SESSION


@pytest.fixture(autouse=True)
def no_names(transactional_db):
    _forget()
    yield
    _forget()


def _forget():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM locks_name")


def _names():
    with connection.cursor() as cursor:
        cursor.execute("SELECT namespace, name FROM locks_name ORDER BY 1, 2")
        return cursor.fetchall()


def _enter(key, namespace=SESSION, **options):
    with transaction.atomic(), advisory_lock(namespace, key, **options):
        pass


def test_a_text_is_kept_beside_its_number_once():
    for _ in range(2):
        _enter("a session's name")
    assert _names() == [(SESSION, "a session's name")]


def test_a_number_needs_no_name():
    _enter(42)
    assert _names() == []


def test_another_name_with_the_same_number_is_an_error_and_not_entered():
    _plant("somebody else's")
    with transaction.atomic():
        mine = ask("SELECT pg_backend_pid()")
        with pytest.raises(LockKeyCollision, match="'mine' has the number of another name"):
            advisory_lock(SESSION, "mine").__enter__()
        assert counted(mine) == 0


def test_the_same_name_in_another_namespace_with_the_same_number_is_one_too():
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO locks_name VALUES (%s, 9, 'mine', now())", [str(LockKey(SESSION, "mine").id)])
    with transaction.atomic(), pytest.raises(LockKeyCollision):
        advisory_lock(SESSION, "mine").__enter__()


def test_it_is_an_error_in_session_scope_and_among_many_keys_and_for_who_shares():
    _plant("somebody else's")
    with pytest.raises(LockKeyCollision):
        advisory_lock(SESSION, "mine", scope="session").__enter__()
    with transaction.atomic(), pytest.raises(LockKeyCollision):
        advisory_locks([(SESSION, 1), (SESSION, "mine")]).__enter__()
    with transaction.atomic(), pytest.raises(LockKeyCollision):
        advisory_lock(SESSION, "mine", shared=True).__enter__()
    assert counted() == 0


def test_mutant_without_the_register_two_names_are_one_lock_and_nobody_knows(monkeypatch):
    _plant("somebody else's")
    monkeypatch.setattr(LockKey, "stored_name", None)
    _enter("mine")


def test_who_shares_a_key_waits_for_nobody_to_write_its_name(actor):
    other = actor()
    other.enter(transaction.atomic())
    other.enter(advisory_lock(SESSION, "both", shared=True))
    _enter("both", shared=True, timeout=0)
    assert _names() == []


def test_in_a_transaction_that_only_reads_the_name_is_not_written():
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        with advisory_lock(SESSION, "mine"):
            pass
    assert _names() == []


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "ü" * 10_000, "'; DROP TABLE locks_name; --"])
def test_any_text_has_a_name_that_the_database_can_keep(text):
    for _ in range(2):
        _enter(text)
    assert len(_names()) == 1


def test_two_long_texts_that_begin_alike_have_two_names():
    one, other = LockKey(SESSION, "x" * 1000 + "1"), LockKey(SESSION, "x" * 1000 + "2")
    assert one.stored_name != other.stored_name
    assert len(one.stored_name) < 500


def test_the_day_of_the_last_use_is_kept():
    _enter("mine")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE locks_name SET seen_on = '2020-01-01'")
    _enter("mine")
    assert ask("SELECT seen_on = current_date FROM locks_name")


@pytest.mark.parametrize(("days", "left"), [(29, 1), (31, 0)])
def test_a_name_that_nobody_used_for_a_month_is_forgotten(tally, days, left):
    _enter("mine")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE locks_name SET seen_on = current_date - %s", [days])
    tally.write()
    assert len(_names()) == left


class TestRows:
    def test_a_row_is_locked_by_its_primary_key(self):
        assert LockKey(1, Group(pk=7)) == LockKey(1, 7) == Agent.objects.lock_key(7)

    def test_a_row_that_was_never_saved_has_none(self):
        with pytest.raises(ValueError, match="never saved"):
            advisory_lock(1, Group())

    def test_with_a_row_the_way_in_is_the_same(self):
        group = Group.objects.create(name="g")
        with transaction.atomic(), advisory_lock(1, group) as held:
            assert held.key.key == group.pk


class TestNamespaces:
    @pytest.fixture(autouse=True)
    def as_before(self):
        before = {number: set(names) for number, names in _registered.items()}
        yield
        _registered.clear()
        _registered.update(before)

    def test_another_programs_namespaces_are_known_by_name(self):
        @register_namespaces
        class Theirs(IntEnum):
            INVOICE = 50

        assert namespace_name(50) == "INVOICE"
        assert str(LockKey(Theirs.INVOICE, "no 7")) == "INVOICE 'no 7'"
        assert namespace_clashes() == []

    def test_a_number_for_two_things_is_a_clash_and_one_out_of_range_is_told(self):
        @register_namespaces
        class Theirs(IntEnum):
            INVOICE = 1
            MAIL = 128

        assert namespace_clashes() == ["1 is AGENT and INVOICE", "128 (MAIL) does not lie from 1 to 127"]

    def test_registered_twice_is_no_clash(self):
        register_namespaces(LockNamespace)
        assert namespace_clashes() == []


def _plant(name):
    """Let another name have the number of "mine"."""
    with connection.cursor() as cursor:
        sql = "INSERT INTO locks_name VALUES (%s, %s, %s, current_date)"
        cursor.execute(sql, [str(LockKey(SESSION, "mine").id), int(SESSION), name])
