"""Answers of ``docs/locks-pitfalls.md`` that no other test file holds; most need a server of their own."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from locks import LockKey, LockNamespace, OnStandby, advisory_lock
from locks.monitor import snapshot
from locks.testing.facts import until
from tests.locks.actors import PATIENCE, ask
from tests.servers import django_database, primary_with_standby, restartable

AGENT = LockNamespace.AGENT
KEY = LockKey(AGENT, 42)


def _migrate(alias):
    call_command("migrate", "locks", database=alias, verbosity=0)


@contextmanager
def _prepared(server, alias):
    """A lock of ours that a prepared transaction holds, and no session."""
    with connections[alias].cursor() as cursor:
        connections[alias].set_autocommit(False)
        with advisory_lock(AGENT, 42, using=alias):
            cursor.execute("PREPARE TRANSACTION 'kept'")
        connections[alias].rollback()
        connections[alias].set_autocommit(True)
    try:
        yield
    finally:
        server.do("ROLLBACK PREPARED 'kept'")


def test_the_monitor_shows_what_a_prepared_transaction_holds_and_who_waits_for_it():
    with restartable(max_prepared_transactions=2) as server, django_database(server.url()) as alias:
        _migrate(alias)
        with ThreadPoolExecutor(1) as thread, server.connect() as waiter:
            pid = waiter.info.backend_pid
            with _prepared(server, alias):
                waits = thread.submit(waiter.execute, "SELECT pg_advisory_lock(%s::bigint)", [str(KEY.id)])
                until(lambda: len(_shown(alias)) == 2)
                holds, waits_for = _shown(alias)
            waits.result(PATIENCE)

    assert (holds["namespace"], holds["key"], holds["scope"], holds["pid"]) == ("AGENT", 42, "transaction", None)
    assert holds["held_seconds"] is not None
    assert (waits_for["pid"], waits_for["blocked_by"]) == (pid, [0])


def _shown(alias):
    return [lock.as_json() for lock in snapshot(alias).locks]


@pytest.mark.parametrize("scope", ["transaction", "session"])
def test_a_standby_lets_nobody_in(standby, scope):
    lock = advisory_lock(AGENT, 42, scope=scope, using=standby)
    with pytest.raises(OnStandby):
        if scope == "session":
            lock.__enter__()
        with transaction.atomic(using=standby):
            lock.__enter__()


@pytest.fixture(scope="module")
def standby():
    """A database alias that leads to the standby of a primary that was migrated."""
    with primary_with_standby() as made:
        with django_database(made.primary.url()) as alias:
            _migrate(alias)
        made.catch_up()
        with django_database(made.standby.url(), "standby") as alias:
            yield alias


@pytest.mark.django_db(transaction=True)
def test_the_limits_of_a_statement_are_left_alone():
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '33s'")
        with transaction.atomic(), advisory_lock(AGENT, 42, timeout=5):
            assert ask("SHOW statement_timeout") == "33s"
        cursor.execute("RESET statement_timeout")
