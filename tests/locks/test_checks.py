"""What the checks say of servers, poolers, pools and settings; each is shown saying it, and being silent."""

import re
from contextlib import contextmanager

import pytest
from django.core.checks import run_checks
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from tests.servers import debian_postgres, django_database, pgbouncer, primary_with_standby, restartable


@pytest.fixture(scope="module")
def server():
    with restartable() as started:
        yield started


def _found(*databases):
    messages = run_checks(tags=["locks"], databases=databases or None)
    return {message.id.removeprefix("locks."): message for message in messages}


@contextmanager
def _at(url, **settings):
    """What is found at another address."""
    with django_database(url, **settings) as alias:
        yield lambda: _found(alias)


@pytest.mark.django_db
def test_the_embedded_server_passes_with_one_query():
    with CaptureQueriesContext(connection) as queries:
        assert _found("default") == {}
    assert len(queries) == 1


def test_nothing_is_asked_of_a_server_that_is_not_named(server):
    with _at(server.url()), CaptureQueriesContext(connections["elsewhere"]) as queries:
        assert _found() == {}
    assert len(queries) == 0


def test_a_server_that_does_not_answer_is_told_and_not_raised():
    with _at("postgresql://nobody@127.0.0.1:1/nothing") as found:
        (message,) = found().values()

    assert message.id == "locks.W006"
    assert "'elsewhere' could not be asked" in message.msg


def test_another_database_is_an_error_and_is_not_connected_to(monkeypatch):
    monkeypatch.setattr(connections["default"], "vendor", "sqlite")

    assert _found("default")["E001"].msg == "The database 'default' is not PostgreSQL."


@pytest.mark.django_db
def test_an_old_server_is_an_error_and_nothing_else_is_said_of_it(monkeypatch):
    monkeypatch.setattr("locks.checks.OLDEST", 999)

    ((name, message),) = _found("default").items()
    assert name == "E002"
    assert message.msg.endswith("locks need 999.")


def test_debians_15_passes():
    with debian_postgres() as old, _at(old.url()) as found:
        assert found() == {}


def test_a_standby_is_an_error():
    with primary_with_standby() as pair:
        with _at(pair.standby.url()) as found:
            assert list(found()) == ["E003"]
        pair.promote()
        with _at(pair.standby.url()) as found:
            assert found() == {}


def test_a_server_that_never_looks_after_its_clients_is_a_warning(server):
    server.stop("fast")
    server.start(client_connection_check_interval=0, idle_in_transaction_session_timeout=0)
    with _at(server.url()) as found:
        warned = found()
    assert list(warned) == ["W003", "W004"]
    # Either remedy, done as it is written, ends the warning.
    server.do(warned["W003"].hint.partition(";")[0])
    server.do(warned["W004"].hint.partition(";")[0])
    with _at(server.url()) as found:
        assert found() == {}
    server.do("ALTER ROLE headspace RESET ALL")
    options = " ".join(re.search(r"OPTIONS\['options'\] = '(.*)'", message.hint)[1] for message in warned.values())
    with _at(server.url(), OPTIONS={"options": options}) as found:
        assert found() == {}


def test_a_lock_table_that_fills_is_a_warning(settings):
    with restartable(max_locks_per_transaction=10, max_connections=12) as small, _at(small.url()) as found:
        settings.LOCKS = settings.LOCKS | {"FULLEST": 0.5}
        assert found() == {}
        with small.connect() as holder:
            holder.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, 70) n")
            message = found()["W005"]
    assert "entries and is made for 120" in message.msg


@pytest.mark.parametrize(("asked_for", "name"), [(set(), "W001"), ({"elsewhere"}, "E004")])
def test_a_pooler_is_a_warning_and_an_error_for_who_asks_for_session_scope(server, asked_for, name, monkeypatch):
    monkeypatch.setattr("locks.checks.session_scope_on", asked_for)
    with pgbouncer(server.url()) as pooler, _at(pooler.url()) as found:
        assert "LOCKS['DIRECT'] = {'elsewhere': ...}" in found()[name].hint


def test_a_pooler_with_a_way_around_it_passes(server, settings):
    settings.LOCKS = settings.LOCKS | {"DIRECT": {"elsewhere": "direct"}}
    with pgbouncer(server.url()) as pooler, _at(pooler.url()) as found, django_database(server.url(), "direct"):
        assert not {"W001", "E004", "E005", "E007"} & found().keys()


@pytest.mark.parametrize(
    ("lead", "words"),
    [
        (lambda server, pooler: pooler.url(), "leads through a pooler too"),
        (lambda server, pooler: server.url("postgres"), "leads to another database"),
    ],
)
def test_a_way_around_the_pooler_that_is_none_is_an_error(server, settings, lead, words):
    settings.LOCKS = settings.LOCKS | {"DIRECT": {"elsewhere": "direct"}}
    with (
        pgbouncer(server.url()) as pooler,
        _at(pooler.url()) as found,
        django_database(lead(server, pooler), "direct"),
    ):
        assert words in found()["E005"].msg


@pytest.mark.parametrize(
    ("given", "words"), [({"DIRECT": {"default": "direct"}}, "names 'direct'"), ({"DIRECTOR": 1}, "knows no DIRECTOR")]
)
def test_a_setting_that_cannot_be_meant_is_an_error(settings, given, words):
    settings.LOCKS = given

    assert words in _found()["E007"].msg


@pytest.mark.parametrize(
    ("pool", "threads", "is_small"),
    [({"max_size": 3}, 4, True), (True, 5, True), ({"min_size": 2, "max_size": 4}, 4, False), (None, 9, False)],
)
def test_a_pool_that_is_smaller_than_the_threads_is_a_warning(settings, pool, threads, is_small):
    settings.LOCKS = settings.LOCKS | {"THREADS": threads}
    with django_database("postgresql://nobody@127.0.0.1:1/nothing") as alias:
        connections.settings[alias]["OPTIONS"]["pool"] = pool
        found = _found()
        connections.settings[alias]["OPTIONS"].pop("pool")

    assert ("W002" in found) is is_small


def test_namespaces_that_clash_are_an_error(monkeypatch):
    monkeypatch.setattr("locks.checks.namespace_clashes", lambda: ["1 is AGENT and INVOICE"])

    assert _found()["E006"].msg == "Lock namespaces clash: 1 is AGENT and INVOICE."


def test_a_migrate_of_another_app_is_a_warning(monkeypatch):
    monkeypatch.setattr("locks.checks.get_commands", lambda: {"migrate": "django.core"})

    assert "that of 'django.core'" in _found()["W007"].msg
