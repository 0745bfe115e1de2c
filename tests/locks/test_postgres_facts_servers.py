"""What poolers, standbys and full servers do to locks: facts that the library rests on, each on a server of its own."""

import re
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.locks.actors import PATIENCE, until
from tests.servers import pgbouncer, primary_with_standby, restartable

KEY = 7
TRY, UNLOCK = f"SELECT pg_try_advisory_lock({KEY})", f"SELECT pg_advisory_unlock({KEY})"


@pytest.fixture(scope="module")
def server():
    with restartable(
        max_locks_per_transaction=10, max_connections=12, max_prepared_transactions=2, deadlock_timeout="10ms"
    ) as started:
        yield started


def _ask(raw, sql):
    return raw.execute(sql).fetchone()[0]


# -- behind a pooler ------------------------------------------------------------


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_tells_another_process_id_than_the_server(server, mode):
    with pgbouncer(server.url(), mode=mode) as pooler, pooler.connect() as raw:
        assert raw.info.backend_pid != _ask(raw, "SELECT pg_backend_pid()")
    with server.connect() as raw:
        assert raw.info.backend_pid == _ask(raw, "SELECT pg_backend_pid()")


def test_two_clients_of_a_transaction_pooler_are_both_inside_a_session_lock(server):
    with pgbouncer(server.url(), pool_size=1) as pooler, pooler.connect() as one, pooler.connect() as other:
        assert (_ask(one, TRY), _ask(other, TRY)) == (True, True)
        assert (_ask(one, UNLOCK), _ask(other, UNLOCK)) == (True, True)


def test_a_session_lock_taken_through_a_transaction_pooler_outlives_its_client(server):
    with pgbouncer(server.url(), pool_size=1) as pooler:
        with pooler.connect() as one:
            assert _ask(one, TRY)
        with server.connect() as other:
            assert not _ask(other, TRY)
        with pooler.connect() as another:
            assert _ask(another, UNLOCK), "a stranger gives it back"


def test_a_transactions_lock_holds_through_a_transaction_pooler(server):
    with pgbouncer(server.url(), pool_size=2) as pooler, pooler.connect() as one, pooler.connect() as other:
        one.execute("BEGIN")
        one.execute(f"SELECT pg_advisory_xact_lock({KEY})")
        other.execute("BEGIN")
        assert not _ask(other, f"SELECT pg_try_advisory_xact_lock({KEY})")


# -- the lock table ---------------------------------------------------------------


def test_a_full_lock_table_refuses_locks_and_then_everybody_who_connects(server):
    nominal = 10 * (12 + 2)
    with server.connect() as holder:
        with pytest.raises(psycopg.errors.OutOfMemory) as caught:
            for key in range(100_000):
                holder.execute("SELECT pg_advisory_lock(%s)", [key])
        assert caught.value.sqlstate == "53200"
        assert key > nominal, "the formula promises less than there is"
        with pytest.raises(psycopg.OperationalError, match="out of shared memory"):
            for _ in range(8):
                server.connect().close()
    until(server.answers, "room again")


# -- a standby ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair():
    with primary_with_standby() as made:
        made.primary.do("CREATE SEQUENCE number")
        made.primary.do("CREATE TABLE kept AS SELECT 1 AS n")
        made.catch_up()
        yield made


def test_a_standby_grants_a_lock_that_the_primary_has_granted(pair):
    with pair.primary.connect() as one, pair.standby.connect() as other:
        assert (_ask(one, TRY), _ask(other, TRY)) == (True, True)


@pytest.mark.parametrize("sql", ["SELECT nextval('number')", "SELECT * FROM kept FOR UPDATE", "LOCK TABLE kept"])
def test_a_standby_refuses_what_writes(pair, sql):
    with pair.standby.connect() as raw, pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
        raw.execute("BEGIN")
        raw.execute(sql)
    assert caught.value.sqlstate == "25006"


def test_after_a_promotion_the_timeline_is_a_later_one_and_a_sequence_goes_on():
    with primary_with_standby() as pair:
        pair.primary.do("CREATE SEQUENCE number")
        before, after = _promoted(pair)

    assert (before[0], after[0]) == (1, 2)
    # Numbers are written ahead in lots of 32: none is given twice.
    assert after[1] > before[1]


def _promoted(pair):
    """Return timeline and next number before and after."""
    timeline = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"
    before = pair.primary.ask(timeline), pair.primary.ask("SELECT nextval('number')")
    pair.catch_up()
    with pair.standby.connect() as held:
        assert _ask(held, TRY)
        pair.kill_primary()
        pair.promote()
        after = pair.standby.ask(timeline), pair.standby.ask("SELECT nextval('number')")
        assert not pair.standby.ask(TRY), "who held it on the standby holds it on the new primary"
    return before, after


# -- what the server says -----------------------------------------------------------


def test_a_long_wait_for_an_advisory_lock_is_in_the_servers_log(server):
    with server.connect() as holder, server.connect(options="-c lock_timeout=200ms") as waiter:
        holder.execute(f"SELECT pg_advisory_lock({KEY})")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            waiter.execute(f"SELECT pg_advisory_lock({KEY})")
        said = rf"process {waiter.info.backend_pid} still waiting for ExclusiveLock on advisory lock \[\d+,0,{KEY},1\]"
    until(lambda: re.search(said, server.log.read_text()), "the log's line")


def test_a_try_that_failed_is_in_nobodys_log():
    with restartable(log_lock_failures="on") as server, server.connect() as holder, server.connect() as other:
        holder.execute("CREATE TABLE kept AS SELECT 1 AS n")
        holder.execute(f"SELECT pg_advisory_lock({KEY})")
        holder.execute("BEGIN")
        holder.execute("SELECT * FROM kept FOR UPDATE")
        assert not _ask(other, TRY)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT * FROM kept FOR UPDATE NOWAIT")
        until(lambda: "could not obtain lock" in server.log.read_text(), "the log's line about the row")

        assert "advisory" not in server.log.read_text()


def test_a_prepared_transaction_keeps_its_locks_and_blocks_as_process_0(server):
    with server.connect() as holder, server.connect() as waiter, server.connect() as watcher:
        holder.execute("BEGIN")
        holder.execute(f"SELECT pg_advisory_xact_lock({KEY})")
        holder.execute("PREPARE TRANSACTION 'kept'")
        with ThreadPoolExecutor(1) as thread:
            waits = thread.submit(waiter.execute, f"SELECT pg_advisory_lock({KEY})")
            blockers = until(lambda: _ask(watcher, f"SELECT pg_blocking_pids({waiter.info.backend_pid})"), "the wait")
            holders = watcher.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted").fetchall()
            watcher.execute("ROLLBACK PREPARED 'kept'")
            waits.result(PATIENCE)

    assert (blockers, holders) == ([0], [(None,)])


def test_who_has_no_rights_sees_locks_and_labels_but_no_statements(server):
    server.do("CREATE ROLE nobody_special LOGIN PASSWORD 'x'")
    url = server.url().replace("headspace:only-for-tests", "nobody_special:x")
    with server.connect(application_name="lock: somebody #") as holder, psycopg.connect(url) as other:
        holder.execute(f"SELECT pg_advisory_lock({KEY})")
        row = other.execute(
            "SELECT application_name, query, mode FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'advisory'"
        ).fetchone()

    assert row == ("lock: somebody #", "<insufficient privilege>", "ExclusiveLock")
