"""Live is who answers; ready is who can work."""

import socket
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder

from agents.health import checks_of_the_database, checks_within

FINE = {"database": "ok", "migrations": "ok"}


@pytest.fixture
def elsewhere(db):
    """Point the database's settings, but not the connection of this test, to another address."""
    known = connections.settings["default"]
    before = dict(known)

    def move(port):
        known.update(HOST="127.0.0.1", PORT=port)

    yield move
    known.clear()
    known.update(before)


def test_live_answers_without_a_database(client):
    # This test may not use one: a query would be an error.
    response = client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db(transaction=True)
def test_ready_when_database_and_tables_are_there(client, django_assert_num_queries):
    with django_assert_num_queries(0):  # it asks on a connection of its own
        response = client.get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "checks": FINE})
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.django_db(transaction=True)
def test_not_ready_while_a_migration_waits(client):
    recorder = MigrationRecorder(connection)
    last = recorder.migration_qs.filter(app="agents").order_by("name").last()
    recorder.record_unapplied("agents", last.name)
    try:
        response = client.get("/health/ready")
    finally:
        recorder.record_applied("agents", last.name)
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "migrations": "1 are not applied"}


@pytest.mark.django_db(transaction=True)
def test_not_ready_on_an_empty_database(client):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO django_migrations_away")
        try:
            checks = client.get("/health/ready").json()["checks"]
        finally:
            cursor.execute("ALTER TABLE django_migrations_away RENAME TO django_migrations")
    assert checks["database"] == "ok"
    assert int(checks["migrations"].split()[0]) > 20


def test_not_ready_without_a_database(client, elsewhere):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        elsewhere(nobody.getsockname()[1])
        response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "checks": {"database": "cannot be reached"}}


def test_a_database_that_never_answers_is_given_a_second(client, elsewhere):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        elsewhere(silent.getsockname()[1])
        began = time.monotonic()
        response = client.get("/health/ready")
        took = time.monotonic() - began
        assert response.status_code == 503
        assert response.json()["checks"] == {"database": "does not answer within 1 s"}
        assert 1 <= took < 1.9
        wait_until_nobody_asks()


def wait_until_nobody_asks():
    deadline = time.monotonic() + 10
    while any(thread.name == "readiness" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_questions_do_not_pile_up_behind_a_database_that_hangs():
    answers, asked = threading.Event(), []

    def hang():
        asked.append(1)
        answers.wait(10)
        return FINE

    limit = timedelta(seconds=0.05)
    for _ in range(5):
        assert checks_within(limit, hang) == {"database": "does not answer within 0.05 s"}
    assert asked == [1]
    answers.set()
    wait_until_nobody_asks()
    assert checks_within(timedelta(seconds=5), lambda: FINE) == FINE


def test_an_answer_comes_also_where_nobody_foresaw_the_error(caplog):
    def fail():
        raise RuntimeError("no such thing")

    assert checks_within(timedelta(seconds=5), fail) == {"database": "cannot be asked"}
    assert "no such thing" in caplog.text
    assert checks_within(timedelta(seconds=5), lambda: FINE) == FINE


def test_what_is_wrong_with_the_database_stays_in_the_log(elsewhere, caplog):
    elsewhere(1)
    assert checks_of_the_database() == {"database": "cannot be reached"}
    assert "127.0.0.1" in caplog.text
