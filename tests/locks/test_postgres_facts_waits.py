"""What a wait for a lock does to queues, snapshots and time limits: facts that the library rests on."""

import random
import select
import subprocess
import sys
import threading
import time

import psycopg
import pytest
from django.db import connection

from tests.locks.actors import until
from tests.locks.facts import KEY, THIS, first, own_locks, result, sessions

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT = "2ms"
RACING_FOR = 20  # seconds


@pytest.fixture
def session(transactional_db):
    with sessions() as made:
        yield made


@pytest.fixture
def written_meanwhile(session):
    """What a reader sees of a value (0) to which a writer sets 1 while the reader waits for the writer's lock."""
    writer = session()
    writer.execute("CREATE TABLE fact AS SELECT 0 AS v")
    writer.commit()

    def read(begin, ask, then):
        reader = session.committing()
        writer.execute("SELECT pg_advisory_xact_lock(%s)", [KEY])
        writer.execute("UPDATE fact SET v = 1")
        for statement in begin:
            reader.execute(statement)
        waits = session.start_waiting(reader, ask)
        writer.commit()
        rows = result(waits)
        for statement in then:
            rows = reader.execute(statement)
        seen = rows.fetchone()[0]
        reader.execute("ROLLBACK")
        reader.execute("SELECT pg_advisory_unlock_all()")
        return seen

    yield read
    writer.rollback()
    writer.execute("DROP TABLE fact")
    writer.commit()


LOCK, LOCK_SESSION = f"SELECT pg_advisory_xact_lock({KEY})", f"SELECT pg_advisory_lock({KEY})"
READ = "SELECT v FROM fact"


@pytest.mark.parametrize(
    ("begin", "ask", "then", "seen"),
    [
        (["BEGIN"], LOCK, [READ], 1),
        (["BEGIN"], f"WITH lock AS MATERIALIZED ({LOCK}) SELECT v FROM fact, lock", [], 0),
        (["BEGIN ISOLATION LEVEL REPEATABLE READ"], LOCK, [READ], 0),
        (["BEGIN ISOLATION LEVEL SERIALIZABLE"], LOCK, [READ], 0),
        ([], LOCK_SESSION, ["BEGIN ISOLATION LEVEL REPEATABLE READ", READ], 1),
    ],
    ids=["two statements", "one statement", "repeatable read", "serializable", "before the transaction"],
)
def test_what_is_read_after_the_wait_is_as_old_as_the_snapshot(written_meanwhile, begin, ask, then, seen):
    assert written_meanwhile(begin, ask, then) == seen


def test_a_query_takes_locks_for_rows_that_its_limit_leaves_out(session):
    raw = session()
    raw.execute("CREATE TEMP TABLE job AS SELECT n AS id, -n AS priority FROM generate_series(1, 1000) n")
    rows = raw.execute("SELECT id FROM job WHERE pg_try_advisory_xact_lock(id) ORDER BY priority LIMIT 10").fetchall()

    assert len(rows) == 10
    assert first(raw, "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'") > 10


def test_a_session_lock_can_be_left_behind_by_a_wait_that_timed_out(session):
    raw = session.committing()
    raw.execute(f"SET lock_timeout = '{LIMIT}'")

    left = _race(session, raw, f"SELECT pg_advisory_lock({KEY})", "SELECT pg_advisory_unlock_all()", times=1)
    if not left:
        pytest.skip(f"the grant did not meet the timeout in {RACING_FOR} s: the race was not seen on this machine")


def test_a_transactions_lock_never_is_when_the_savepoint_around_the_wait_is_rolled_back(session):
    raw = session.committing()
    raw.execute("BEGIN")
    raw.execute(f"SET LOCAL lock_timeout = '{LIMIT}'")
    raw.execute("SAVEPOINT s")

    # Fifty timeouts: without the savepoint one of ten is a grant.
    assert _race(session, raw, f"SELECT pg_advisory_xact_lock({KEY})", "ROLLBACK TO s", timeouts=50) == 0


def _race(session, raw, ask, end, times=None, timeouts=None):
    """Let a wait time out in the moment of the grant, again and again; return how often a lock was left."""
    holder, stop = session.committing(), threading.Event()
    give_up_at = time.monotonic() + RACING_FOR

    def hold():
        while not stop.is_set():
            holder.execute("SELECT pg_advisory_lock(%s)", [KEY])
            # Its length is the race itself: around the time limit of the other.
            stop.wait(random.uniform(0.0005, 0.004))
            holder.execute("SELECT pg_advisory_unlock(%s)", [KEY])

    thread = threading.Thread(target=hold)
    thread.start()
    left = failed = 0
    try:
        while time.monotonic() < give_up_at and (times is None or left < times) and (not timeouts or failed < timeouts):
            try:
                raw.execute(ask)
            except psycopg.errors.LockNotAvailable:
                failed += 1
                if timeouts:
                    raw.execute(end)
                left += own_locks(raw)
            raw.execute(end)
    finally:
        stop.set()
        thread.join()
    assert failed
    return left


def test_the_queue_is_served_in_the_order_of_arrival(session):
    holder = session.committing()
    holder.execute("SELECT pg_advisory_lock_shared(%s)", [KEY])
    granted, asking = [], []
    for mode in ("", "_shared", "", "_shared"):
        raw = session.committing()
        waits = session.start_waiting(raw, f"SELECT pg_advisory_lock{mode}({KEY})")
        waits.add_done_callback(lambda _, raw=raw: granted.append(raw))
        asking.append(raw)
    holder.execute("SELECT pg_advisory_unlock_all()")
    for count, raw in enumerate(asking, 1):
        until(lambda count=count: len(granted) >= count, "the next turn")
        assert granted == asking[:count], "somebody overtook"
        raw.execute("SELECT pg_advisory_unlock_all()")


def test_who_waits_is_blocked_by_who_waits_before(session):
    holder, one, other = session.committing(), session.committing(), session.committing()
    holder.execute("SELECT pg_advisory_lock(%s)", [KEY])
    waits = [session.start_waiting(raw, "SELECT pg_advisory_xact_lock(%s)", KEY) for raw in (one, other)]

    assert session.blockers(one) == {holder.info.backend_pid}
    assert session.blockers(other) == {holder.info.backend_pid, one.info.backend_pid}
    holder.execute("SELECT pg_advisory_unlock_all()")
    for future in waits:
        result(future)


def test_a_wait_has_a_start_and_a_grant_has_none(session):
    holder, waiter = session.committing(), session.committing()
    holder.execute("SELECT pg_advisory_lock(%s)", [KEY])
    waits = session.start_waiting(waiter, "SELECT pg_advisory_xact_lock(%s)", KEY)
    started = f"SELECT waitstart FROM pg_locks WHERE pid = %s AND {THIS}"

    # In the first moment it may be missing.
    assert until(lambda: first(holder, started, waiter.info.backend_pid, KEY), "the start of the wait")
    assert first(holder, started, holder.info.backend_pid, KEY) is None
    holder.execute("SELECT pg_advisory_unlock_all()")
    result(waits)


def test_a_statement_that_waits_has_a_snapshot_and_a_session_between_two_tries_has_none(session):
    holder, waiter, poller = session.committing(), session.committing(), session.committing()
    holder.execute("SELECT pg_advisory_lock(%s)", [KEY])
    waits = session.start_waiting(waiter, "SELECT pg_advisory_xact_lock(%s)", KEY)
    assert not first(poller, "SELECT pg_try_advisory_lock(%s)", KEY)
    pinned = "SELECT backend_xmin IS NOT NULL FROM pg_stat_activity WHERE pid = %s"

    assert first(holder, pinned, waiter.info.backend_pid)
    assert not first(holder, pinned, poller.info.backend_pid)
    holder.execute("SELECT pg_advisory_unlock_all()")
    result(waits)


@pytest.mark.parametrize(
    ("limit", "begin", "state"),
    [
        ("idle_session_timeout", "SELECT", "57P05"),
        ("idle_in_transaction_session_timeout", "BEGIN", "25P03"),
        ("transaction_timeout", "BEGIN", "25P04"),
    ],
)
def test_a_holder_whose_session_is_ended_learns_it_from_the_socket_and_else_at_the_next_statement(
    session, limit, begin, state
):
    raw = session.committing()
    if not raw.execute("SELECT 1 FROM pg_settings WHERE name = %s", [limit]).fetchone():
        pytest.skip(f"PostgreSQL {raw.info.server_version // 10000} has no {limit}")
    raw.execute("SELECT pg_advisory_lock(%s)", [KEY])
    raw.execute(f"SET {limit} = '30ms'")
    raw.execute(begin)
    until(lambda: not session.is_held(), "the end of the session")

    assert raw.info.status == psycopg.pq.ConnStatus.OK, "so far it thinks that it holds the lock"
    assert select.select([raw.fileno()], [], [], 0)[0], "but there is something to be read"
    with pytest.raises(psycopg.Error) as caught:
        raw.execute("SELECT")
    assert caught.value.sqlstate == state


CLIENT = """
import psycopg, sys
raw = psycopg.connect(sys.argv[1], autocommit=True)
raw.execute(sys.argv[2])
print(raw.info.backend_pid, flush=True)
raw.execute(sys.argv[3])
input()
"""


class Client:
    """A process of its own, to be killed, that prepares itself, and then does something."""

    def __init__(self, prepare, act):
        params = connection.get_connection_params()
        info = psycopg.conninfo.make_conninfo(**{n: params[n] for n in ("host", "port", "user", "password", "dbname")})
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, info, prepare, act], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = int(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.communicate()


def _is_there(session, pid):
    with session._watcher() as watcher:
        return first(watcher, f"SELECT count(*) FROM pg_locks WHERE pid = %s AND {THIS}", pid, KEY)


def test_a_killed_waiter_keeps_its_place_where_the_server_does_not_look_after_its_clients(session):
    holder = session.committing()
    holder.execute("SELECT pg_advisory_lock(%s)", [KEY])
    clients = [
        Client(f"SET client_connection_check_interval = '{look}'", f"SELECT pg_advisory_lock({KEY})")
        for look in ("0", "50ms")
    ]
    until(lambda: all(_is_there(session, client.pid) for client in clients), "both waits")
    for client in clients:
        client.kill()
    until(lambda: not _is_there(session, clients[1].pid), "the end of the one that is looked after")

    assert _is_there(session, clients[0].pid)
    holder.execute("SELECT pg_advisory_unlock_all()")
    until(lambda: not session.is_held(), "the turn of the one that is gone")


def test_a_killed_holder_that_does_nothing_gives_back_at_once(session):
    client = Client("SET client_connection_check_interval = 0", f"SELECT pg_advisory_lock({KEY})")
    until(session.is_held, "the lock")
    client.kill()

    until(lambda: not session.is_held(), "the end of the lock")
