"""What PostgreSQL does to locks of both scopes when something fails: facts that the library rests on."""

import asyncio
import zlib

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, InternalError, OperationalError, connection, connections, transaction

from locks.keys import lock_key_from_string
from tests.locks.actors import ask
from tests.locks.facts import KEY, first, own_locks, result, sessions
from tests.servers import django_database

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(transactional_db):
    with sessions() as made:
        yield made


@pytest.mark.parametrize("end", ["ROLLBACK", "ROLLBACK TO s", "COMMIT"])
def test_a_session_lock_survives_the_end_of_its_transaction(session, end):
    raw = session()
    raw.execute("SAVEPOINT s")
    raw.execute("SELECT pg_advisory_lock(%s)", [KEY])
    raw.execute(end)

    assert session.is_held()


def test_a_key_taken_again_in_a_savepoint_that_is_rolled_back_stays_held_from_before(session):
    raw = session()
    raw.execute("SELECT pg_advisory_xact_lock(%s)", [KEY])
    raw.execute("SAVEPOINT s")
    raw.execute("SELECT pg_advisory_xact_lock(%s)", [KEY])
    raw.execute("ROLLBACK TO s")

    assert session.is_held()
    raw.rollback()
    assert not session.is_held()


def test_both_scopes_of_one_key_are_one_row_and_unlocking_gives_back_the_sessions_part_alone(session):
    raw = session()
    raw.execute("SELECT pg_advisory_xact_lock(%s), pg_advisory_lock(%s)", [KEY, KEY])

    assert own_locks(raw) == 1
    assert first(raw, "SELECT pg_advisory_unlock(%s)", KEY)
    assert session.is_held()
    raw.rollback()
    assert not session.is_held()


def test_a_session_lock_taken_twice_is_given_back_twice(session):
    raw = session.committing()
    raw.execute("SELECT pg_advisory_lock(%s), pg_advisory_lock(%s)", [KEY, KEY])

    assert first(raw, "SELECT pg_advisory_unlock(%s)", KEY)
    assert session.is_held()
    assert first(raw, "SELECT pg_advisory_unlock(%s)", KEY)
    assert not session.is_held()


def test_unlocking_what_is_not_held_is_false_and_no_error(session):
    raw = session.committing()
    notices = []
    raw.add_notice_handler(lambda notice: notices.append(notice.severity))

    assert first(raw, "SELECT pg_advisory_unlock(%s)", KEY) is False
    assert notices == ["WARNING"]


def test_after_an_error_nothing_can_be_unlocked_before_the_rollback(session):
    raw = session()
    raw.execute("SELECT pg_advisory_lock(%s)", [KEY])
    with pytest.raises(psycopg.errors.DivisionByZero):
        raw.execute("SELECT 1/0")

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        raw.execute("SELECT pg_advisory_unlock(%s)", [KEY])
    raw.rollback()
    assert session.is_held()


@pytest.mark.parametrize(
    ("state", "error"),
    [
        *((state, OperationalError) for state in ("55P03", "40P01", "40001", "57014", "57P01", "57P05", "53200")),
        *((state, InternalError) for state in ("25P02", "25P03", "25P04", "25000", "25006")),
        ("LK001", DatabaseError),
    ],
)
def test_djangos_class_says_less_than_the_sqlstate(state, error):
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        ask(f"DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{state}'; END $$")

    assert type(caught.value) is error
    assert caught.value.__cause__.sqlstate == state


def test_two_who_share_and_both_want_it_alone_never_end(session):
    one, other = session(), session()
    for raw in (one, other):
        raw.execute("SET LOCAL deadlock_timeout = '20ms'")
        raw.execute("SELECT pg_advisory_xact_lock_shared(%s)", [KEY])
    waits = session.start_waiting(one, "SELECT pg_advisory_xact_lock(%s)", KEY)
    closes = session.start(other, "SELECT pg_advisory_xact_lock(%s)", KEY)

    ends = [future.exception(10) for future in (waits, closes)]
    assert [type(end) for end in ends if end] == [psycopg.errors.DeadlockDetected]


def test_the_victim_of_a_deadlock_keeps_its_session_locks(session):
    one, other = session.committing(), session.committing()
    one.execute("SET deadlock_timeout = '1min'")
    other.execute("SET deadlock_timeout = '20ms'")
    one.execute("SELECT pg_advisory_lock(1)")
    other.execute("SELECT pg_advisory_lock(2)")
    waits = session.start_waiting(one, "SELECT pg_advisory_lock(2)")
    with pytest.raises(psycopg.errors.DeadlockDetected):
        other.execute("SELECT pg_advisory_lock(1)")

    assert session.blockers(one) == {other.info.backend_pid}
    other.execute("SELECT pg_advisory_unlock_all()")
    result(waits)


def test_nobody_sees_the_deadlock_of_a_program_that_waits_for_itself_on_two_connections(session):
    one, other = session(), session()
    one.execute("SELECT pg_advisory_xact_lock(%s)", [KEY])
    other.execute("SET LOCAL deadlock_timeout = '1ms'")
    other.execute("SET LOCAL lock_timeout = '60ms'")

    with pytest.raises(psycopg.errors.LockNotAvailable):
        other.execute("SELECT pg_advisory_xact_lock(%s)", [KEY])


def test_djangos_pool_hands_a_session_lock_and_a_setting_to_the_next_user():
    pytest.importorskip("psycopg_pool")
    info = connection.get_connection_params()
    url = f"postgresql://{info['user']}:{info['password']}@{info['host']}:{info['port']}/{info['dbname']}"
    with django_database(url, OPTIONS={"pool": {"min_size": 1, "max_size": 1}}) as alias:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s), set_config('lock_timeout', '7s', false)", [KEY])
        connections[alias].close()
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout'), pg_advisory_unlock(%s)", [KEY])
            assert cursor.fetchone() == ("7s", True)


def test_two_tasks_of_one_loop_are_one_session():
    async def both():
        ways = [sync_to_async(ask)("SELECT pg_try_advisory_lock(%s)", [KEY]) for _ in "ab"]
        return await asyncio.gather(*ways)

    try:
        assert asyncio.run(both()) == [True, True]
    finally:
        asyncio.run(sync_to_async(ask)("SELECT pg_advisory_unlock_all()::text"))
        asyncio.run(sync_to_async(connections.close_all)())


def test_numbers_of_32_bits_meet_where_those_of_64_do_not():
    names = [f"agent-{number}" for number in range(300_000)]

    assert len({zlib.crc32(name.encode() * 3) for name in names}) < len(names)
    assert len({lock_key_from_string(name) for name in names}) == len(names)
