"""What we rely on and PostgreSQL does not promise in so many words: a version that changes it fails here."""

from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import psycopg
import pytest
from django.db import connection

from tests.locks.actors import PATIENCE, until

pytestmark = pytest.mark.django_db(transaction=True)
KEY = 7


@pytest.fixture
def session(transactional_db):
    opened = []

    def connect():
        raw = psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.ClientCursor})
        opened.append(raw)
        return raw

    yield connect
    for raw in opened:
        raw.close()


def _first(raw, sql, *params):
    return raw.execute(sql, params).fetchone()[0]


def _is_free(raw, key=KEY):
    """Whether another session could take the key."""
    raw.rollback()
    got = _first(raw, "SELECT pg_try_advisory_xact_lock(%s)", key)
    raw.rollback()
    return got


def test_a_setting_made_in_a_statement_holds_for_the_waits_that_come_later_in_it(session):
    one, other = session(), session()
    one.execute("SELECT pg_advisory_xact_lock(%s)", [KEY])

    with pytest.raises(psycopg.errors.LockNotAvailable):
        other.execute("SELECT set_config('lock_timeout', '20', true), pg_advisory_xact_lock(%s)", [KEY])


def test_columns_are_evaluated_from_left_to_right(session):
    raw = session()
    row = raw.execute(
        "SELECT current_setting('lock_timeout'), set_config('lock_timeout', '5s', true),"
        " current_setting('lock_timeout')"
    ).fetchone()

    assert row == ("0", "5s", "5s")


@pytest.mark.parametrize(
    ("end", "left"), [("ROLLBACK TO s", "outer"), ("RELEASE s", "inner"), ("COMMIT", ""), ("ROLLBACK", "")]
)
def test_a_transactions_setting_lives_as_long_as_a_lock_taken_with_it(session, end, left):
    raw, other = session(), session()
    raw.execute("SELECT set_config('locks.fact', 'outer', true)")
    raw.execute("SAVEPOINT s")
    raw.execute("SELECT set_config('locks.fact', 'inner', true), pg_advisory_xact_lock(%s)", [KEY])
    raw.execute(end)

    assert _first(raw, "SELECT current_setting('locks.fact', true)") == left
    assert _is_free(other) is (left != "inner")


def test_a_lock_taken_in_a_block_of_plpgsql_that_ended_well_is_kept(session):
    raw, other = session(), session()
    raw.execute(
        f"DO $$ BEGIN PERFORM pg_advisory_xact_lock({KEY}); EXCEPTION WHEN lock_not_available THEN NULL; END $$"
    )

    assert not _is_free(other)


def test_a_lock_taken_in_a_block_of_plpgsql_that_failed_is_given_back(session):
    raw, other = session(), session()
    raw.execute(
        f"DO $$ BEGIN PERFORM pg_advisory_xact_lock({KEY}); RAISE lock_not_available;"
        " EXCEPTION WHEN lock_not_available THEN NULL; END $$"
    )

    assert _is_free(other)


def test_trying_fails_while_somebody_is_queued_so_that_nobody_is_overtaken(session):
    reader, writer, other = session(), session(), session()
    reader.execute("SELECT pg_advisory_xact_lock_shared(%s)", [KEY])
    writer.autocommit = True
    other.execute("BEGIN")
    assert _first(other, "SELECT pg_try_advisory_xact_lock_shared(%s)", KEY)
    other.rollback()

    waiting = Thread(target=lambda: writer.execute("SELECT pg_advisory_xact_lock(%s)", [KEY]), daemon=True)
    waiting.start()
    until(lambda: _first(other, "SELECT cardinality(pg_blocking_pids(%s)) > 0", writer.info.backend_pid))

    assert not _first(other, "SELECT pg_try_advisory_xact_lock_shared(%s)", KEY)
    reader.rollback()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_one_number_and_two_numbers_never_meet(session):
    one, other = session(), session()
    one.execute("SELECT pg_advisory_xact_lock(%s)", [(3 << 32) + KEY])

    assert _first(other, "SELECT pg_try_advisory_xact_lock(3, %s)", KEY)


def test_pg_locks_shows_a_negative_key_as_unsigned_halves(session):
    raw = session()
    raw.execute("SELECT pg_advisory_xact_lock(-2)")
    row = raw.execute(
        "SELECT classid::bigint, objid::bigint, objsubid FROM pg_locks WHERE locktype = 'advisory'"
    ).fetchone()

    assert row == (2**32 - 1, 2**32 - 2, 1)


def test_a_statement_that_locks_and_reads_sees_the_past(session):
    _assert_read_after_waiting(session, "SELECT pg_advisory_xact_lock(7), (SELECT v FROM fact)", sees=0)


def test_a_statement_after_the_lock_in_the_same_volatile_function_sees_the_present(session):
    session().execute(
        "CREATE FUNCTION fact_read() RETURNS integer LANGUAGE plpgsql VOLATILE AS $$ BEGIN"
        " PERFORM pg_advisory_xact_lock(7); RETURN (SELECT v FROM fact); END $$"
    ).connection.commit()
    try:
        _assert_read_after_waiting(session, "SELECT 0, fact_read()", sees=1)
    finally:
        session().execute("DROP FUNCTION fact_read").connection.commit()


def _assert_read_after_waiting(session, sql, sees):
    writer, reader, watcher = session(), session(), session()
    writer.execute("CREATE TABLE fact AS SELECT 0 AS v")
    writer.commit()
    try:
        writer.execute("SELECT pg_advisory_xact_lock(7)")
        writer.execute("UPDATE fact SET v = 1")
        with ThreadPoolExecutor(1) as thread:
            read = thread.submit(lambda: reader.execute(sql).fetchone())
            until(lambda: _first(watcher, "SELECT cardinality(pg_blocking_pids(%s)) > 0", reader.info.backend_pid))
            writer.commit()
            assert read.result(PATIENCE)[1] == sees
    finally:
        for raw in (writer, reader, watcher):
            raw.rollback()
        writer.execute("DROP TABLE fact")
        writer.commit()
