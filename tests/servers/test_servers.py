"""The servers that other tests stand on do what they say."""

import psycopg
import pytest
from django.db import connections

from tests.servers import debian_postgres, django_database, pgbouncer, primary_with_standby, restartable


@pytest.fixture(scope="module")
def server():
    with restartable() as started:
        yield started


def test_a_server_that_was_killed_starts_again_with_what_was_committed(server):
    server.do("CREATE TABLE kept AS SELECT 1 AS n")
    for end in (server.stop, server.kill):
        with server.connect() as held:
            end()
            with pytest.raises(psycopg.OperationalError):
                held.execute("SELECT 1")
        assert not server.answers()
        server.start()
        assert server.ask("SELECT n FROM kept") == 1


def test_a_setting_can_change_with_a_restart(server):
    server.stop("fast")
    server.start(client_connection_check_interval=0)

    assert server.ask("SHOW client_connection_check_interval") == "0"


def test_a_frozen_server_answers_when_it_thaws(server):
    with server.connect() as held:
        server.freeze()
        assert not server.answers()
        server.thaw()

        assert held.execute("SELECT 1").fetchone() == (1,)


def test_django_reaches_a_server_by_an_alias(server):
    with django_database(server.url()) as alias, connections[alias].cursor() as cursor:
        cursor.execute("SELECT inet_server_port()")
        assert cursor.fetchone() == (server.port,)
    assert alias not in connections


def test_debians_server_is_15():
    with debian_postgres() as server:
        assert server.ask("SHOW server_version_num").startswith("15")


def test_a_pooler_gives_each_transaction_another_backend(server):
    with pgbouncer(server.url(), pool_size=2) as pooler, pooler.connect() as one, pooler.connect() as other:
        other.execute("BEGIN")
        first = other.execute("SELECT pg_backend_pid()").fetchone()
        one.execute("SELECT 1")
        other.execute("COMMIT")
        seen = {one.execute("SELECT pg_backend_pid()").fetchone() for _ in range(4)}

    assert len(seen | {first}) == 2


def test_a_pooler_in_session_mode_keeps_the_backend(server):
    with pgbouncer(server.url(), mode="session") as pooler, pooler.connect() as one:
        assert len({one.execute("SELECT pg_backend_pid()").fetchone() for _ in range(4)}) == 1


@pytest.mark.parametrize("synchronous", [False, True])
def test_a_standby_shows_what_the_primary_wrote_and_can_take_over(synchronous):
    with primary_with_standby(synchronous=synchronous) as pair:
        pair.primary.do("CREATE TABLE kept AS SELECT 1 AS n")
        if not synchronous:
            pair.catch_up()
        assert pair.standby.ask("SELECT pg_is_in_recovery()")
        assert pair.standby.ask("SELECT n FROM kept") == 1
        pair.kill_primary()
        pair.promote()
        assert pair.standby.ask("INSERT INTO kept VALUES (2) RETURNING n") == 2
