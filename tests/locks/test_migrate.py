"""Nodes that start together migrate once; a node that waits is in nobody's way."""

import psycopg
import pytest
from django.core.management import CommandError, call_command, get_commands
from django.db import connection, connections

from locks.errors import LockTimeout
from locks.migrating import KEY, migrating_alone
from locks.monitor import snapshot
from tests.locks.gate import GATE
from tests.locks.migrating_nodes import WAITS_IN_A_STATEMENT, Database
from tests.servers import pgbouncer

WAITS = "Another node migrates: migrate on "
BOTH = ["0001_gate", "0002_index"]


@pytest.fixture
def database(transactional_db):
    params = connection.get_connection_params()
    made = Database({name: params[name] for name in ("host", "port", "user", "password")} | {"dbname": "postgres"})
    yield made
    made.close()


def test_our_command_is_the_one_that_runs():
    assert get_commands()["migrate"] == "locks"


def test_two_nodes_that_start_on_an_empty_database_migrate_once(database):
    nodes = [database.migrate("--no-color") for _ in "ab"]
    database.until_waited_for(GATE)
    (second,) = database.until_somebody_said(WAITS)
    database.open_gate()

    assert [node.code for node in nodes] == [0, 0]
    assert "The other node is done; waited for " in second.said
    assert "No migrations to apply." in second.said
    assert database.ask("SELECT count(*) - count(DISTINCT (app, name)) FROM django_migrations") == 0
    assert database.applied() == BOTH


def test_without_the_lock_two_nodes_do_the_same_twice(database):
    # The second one comes when the first one has made Django's own table, or they would meet there already.
    nodes = []
    for count in (1, 2):
        nodes.append(database.migrate("gate", "--no-lock"))
        database.until_waited_for(GATE, by=count)
    database.open_gate()

    assert sorted(node.code for node in nodes) == [0, 1]
    assert any("already exists" in node.said for node in nodes)


def test_an_index_is_made_concurrently_while_a_node_waits(database):
    first, second = _one_at_the_gate_and_one_behind(database)
    second.until_said(WAITS)
    database.open_gate()

    assert (first.code, second.code) == (0, 0)
    assert database.applied() == BOTH
    assert database.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'gate_index'::regclass")


def test_an_index_cannot_be_made_concurrently_while_a_node_waits_in_a_statement(database):
    first, second = _one_at_the_gate_and_one_behind(database, mutant=WAITS_IN_A_STATEMENT)
    database.until_waited_for(KEY.id & 0xFFFFFFFF)
    (waiter, lock_session) = database.wait_for(KEY.id & 0xFFFFFFFF)
    database.open_gate()

    # The first one's own circle: its index waits for the waiter, who waits for its lock. No detector sees it, because
    # lock and index are two sessions.
    database.until_blocked_by(waiter, "CREATE INDEX CONCURRENTLY%")
    assert database.wait_for(KEY.id & 0xFFFFFFFF) == (waiter, lock_session)
    assert first.process.poll() is second.process.poll() is None


def test_a_node_goes_on_when_the_one_before_is_killed(database):
    first, second = _one_at_the_gate_and_one_behind(database)
    second.until_said(WAITS)
    first.kill()
    database.open_gate()

    assert second.code == 0
    assert database.applied() == BOTH


def test_no_migration_is_begun_after_the_lock_was_lost(database):
    node = database.migrate()
    database.until_waited_for(GATE)
    database.end_lock_session()
    database.open_gate()

    assert node.code == 1
    assert "The lock of this migration is lost" in node.said
    assert database.applied() == BOTH[:1]


def test_a_lock_that_was_lost_in_the_last_migration_is_told_too(database):
    node = database.migrate("gate", "0001")
    database.until_waited_for(GATE)
    database.end_lock_session()
    database.open_gate()

    assert node.code == 1
    assert "The lock of this migration is lost" in node.said
    assert database.applied() == BOTH[:1]


def test_behind_a_pooler_the_lock_is_refused_and_the_ways_out_are_named(database):
    database.open_gate()
    with pgbouncer(database.url) as pooler:
        refused = database.migrate(url=pooler.url())
        assert refused.code == 1
        assert "LOCKS['DIRECT']" in refused.said
        assert "--no-lock" in refused.said
        assert database.migrate("gate", "0001", "--no-lock", url=pooler.url()).code == 0
        assert database.migrate(url=pooler.url(), DATABASE_DIRECT_URL=database.url).code == 0
    assert database.applied() == BOTH


@pytest.fixture
def held_elsewhere(transactional_db):
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s::bigint)", [str(KEY.id)])
        yield other


def test_a_node_that_may_not_wait_longer_says_who_is_in_the_way(held_elsewhere, capsys):
    with pytest.raises(CommandError, match=f"pid {held_elsewhere.info.backend_pid}"):
        call_command("migrate", lock_timeout=0, verbosity=0)
    assert f"pid {held_elsewhere.info.backend_pid}" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"plan": True}, {"check_unapplied": True}, {"no_lock": True}])
def test_who_only_looks_or_wants_no_lock_does_not_wait(held_elsewhere, options):
    call_command("migrate", lock_timeout=0, verbosity=0, **options)


def test_another_database_is_migrated_as_ever(monkeypatch, django_db_blocker):
    lite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    monkeypatch.setitem(connections.settings, "lite", connections.configure_settings({"default": lite})["default"])
    with django_db_blocker.unblock():
        call_command("migrate", "contenttypes", database="lite", verbosity=0)
        assert "django_content_type" in connections["lite"].introspection.table_names()
        connections["lite"].close()
        del connections["lite"]


@pytest.mark.django_db(transaction=True)
def test_the_monitor_shows_who_migrates():
    with migrating_alone("default", 0, str):
        (lock,) = [lock for lock in snapshot().locks if lock.namespace == "MIGRATION"]

    assert lock.session.label.holder.startswith("migrate on ")
    assert 0 <= lock.seen.held_seconds < 5


@pytest.mark.django_db(transaction=True)
def test_the_lock_is_given_back_on_any_way_out():
    with pytest.raises(ZeroDivisionError), migrating_alone("default", 0, str):
        with pytest.raises(LockTimeout), migrating_alone("default", 0, str):
            raise AssertionError("two are inside")
        raise ZeroDivisionError
    with migrating_alone("default", 5, str):
        pass


@pytest.mark.parametrize("words", ["-1", "soon", "nan"])
def test_a_time_that_is_none_is_refused(words):
    with pytest.raises(CommandError, match="a number of seconds"):
        call_command("migrate", "--lock-timeout", words)


def _one_at_the_gate_and_one_behind(database, **second):
    first = database.migrate()
    database.until_waited_for(GATE)
    return first, database.migrate(**second)
