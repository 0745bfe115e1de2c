"""How full the server's lock table may become: beyond it nobody can connect any more."""

from contextlib import ExitStack
from datetime import timedelta
from importlib import import_module

import pytest
from django.db import connection, connections, transaction

from locks import LockNamespace, LockTableFull, advisory_lock, advisory_locks
from locks.asks import _budgets
from tests.locks.actors import advisory_locks as counted
from tests.locks.actors import ask
from tests.servers import django_database, restartable

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT
SMALL = {"max_connections": "20", "max_locks_per_transaction": "64"}


@pytest.fixture(autouse=True)
def looked():
    _budgets.clear()
    yield
    _budgets.clear()


@pytest.fixture
def small():
    """Return the alias of a database whose server has room for 1280 locks."""
    with restartable(**SMALL) as server, django_database(server.url()) as alias:
        with connections[alias].cursor() as cursor:
            for name in ("0001_locks", "0003_asks", "0004_sessions"):
                for operation in import_module(f"locks.migrations.{name}").Migration.operations:
                    cursor.execute(operation.sql)
        yield alias, server


def climb(alias, step, seen):
    """Take more and more keys in one transaction, so many at a time; note how many."""
    with transaction.atomic(using=alias), ExitStack() as stack:
        for number in range(0, 20_000, step):
            stack.enter_context(advisory_locks([(AGENT, number + one) for one in range(step)], using=alias))
            seen.append(step)


@pytest.mark.parametrize("step", [1, 10, 100])
def test_a_process_that_takes_more_and_more_is_stopped_and_others_can_still_connect(small, settings, step):
    """Also where no time passes between two looks: they come with the keys, too."""
    settings.LOCKS = {"LOOK_EVERY": timedelta(hours=1)}
    (alias, server), seen = small, []
    with pytest.raises(LockTableFull, match="too full"):
        climb(alias, step, seen)
    assert 150 <= sum(seen) <= 400
    with server.connect() as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_mutant_that_never_looks_the_server_is_what_stops_it(small, monkeypatch):
    monkeypatch.setattr("locks.asks._fullest", lambda using, keys: None)
    alias, _ = small
    with pytest.raises(LockTableFull, match="found no room in the server's lock table"):
        climb(alias, 100, [])


def test_beyond_the_share_of_the_lock_table_nothing_is_asked_for(settings, actor):
    settings.LOCKS = {"FULLEST": 0.0}
    with transaction.atomic():
        mine = ask("SELECT pg_backend_pid()")
        with pytest.raises(LockTableFull, match="too full"):
            advisory_lock(AGENT, 42).__enter__()
        assert counted(mine) == 0
    _budgets.clear()
    with pytest.raises(LockTableFull):
        advisory_lock(AGENT, 42, scope="session").__enter__()
    assert counted() == 0


def test_between_two_looks_it_costs_nothing(settings):
    settings.LOCKS = {"FULLEST": 0.0, "LOOK_EVERY": timedelta(hours=1)}
    with transaction.atomic():
        with pytest.raises(LockTableFull):
            advisory_lock(AGENT, 42).__enter__()
        with advisory_lock(AGENT, 42):
            pass


def test_how_full_it_is():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(1, 1)")
        cursor.execute("SELECT taken, nominal FROM locks_room()")
        taken, nominal = cursor.fetchone()
        cursor.execute(
            "SELECT current_setting('max_locks_per_transaction')::int * (current_setting('max_connections')::int"
            " + current_setting('max_prepared_transactions')::int)"
        )
        assert nominal == cursor.fetchone()[0]
    assert 1 <= taken < nominal
