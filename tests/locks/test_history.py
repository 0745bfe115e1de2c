"""Worker processes enter one section again and again while things break; what they wrote shows one after the other.

For each verified section: the token is higher than those committed before it, and it was entered after the one before
had committed (by the server's own clock and commit timestamps). In the end everybody has done all rounds, and no lock
is left.
"""

from random import Random

import pytest

from locks import LockNamespace, PooledSession, advisory_lock
from tests.locks.history_records import (
    prepare,
    rows_of,
    until_no_lock_is_left,
    working,
    wrong_with_rows,
    wrong_with_words,
)
from tests.servers import django_database, pgbouncer, primary_with_standby, restartable

WORKERS = 3
ROUNDS = 60
SETTINGS = {"track_commit_timestamp": "on", "max_connections": 60}
HOLDER = """
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted LIMIT 1
"""
END_HOLDER = f"SELECT count(pg_terminate_backend(pid)) FROM ({HOLDER}) AS holder"
END_WORK = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'headspace'
      AND (xact_start IS NOT NULL OR %s)
"""


@pytest.fixture(scope="module")
def prepared():
    with restartable(**SETTINGS) as made:
        prepare(made)
        yield made


@pytest.fixture
def server(prepared):
    prepared.do("TRUNCATE history")
    yield prepared
    until_no_lock_is_left(prepared)


def wrong(workers, server, **how):
    """Return what is wrong when all are done."""
    workers.finish()
    rows = rows_of(server)
    assert how or len(rows) >= WORKERS * ROUNDS
    return wrong_with_rows(rows) + wrong_with_words(workers, rows, **how)


def test_workers_are_killed(server, tmp_path):
    chance = Random(1)
    with working(tmp_path, WORKERS, ROUNDS, DATABASE_URL=server.url()) as workers:
        for count in range(20, WORKERS * ROUNDS - 40, 30):
            assert workers.wait_for_kept(count)
            workers.kill(chance.choice(workers.names))
        assert wrong(workers, server) == []


def test_sessions_of_locks_and_of_work_are_ended(server, tmp_path):
    with working(tmp_path, WORKERS, ROUNDS, DATABASE_URL=server.url()) as workers, server.connect() as operator:
        ended = 0
        for count in range(5, WORKERS * ROUNDS - 10, 4):
            assert workers.wait_for_kept(count)
            ends, parameters = (END_WORK, [count % 3 == 0]) if count % 2 else (END_HOLDER, None)
            ended += operator.execute(ends, parameters).fetchone()[0]
        assert wrong(workers, server) == []
    # Some of those who had been let in were stopped from writing.
    assert len(workers.all_said("told")) > len(workers.all_said("kept"))
    assert ended > 10


BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"


def test_workers_are_frozen_while_others_get_their_locks(server, tmp_path):
    """A frozen one does not know that its lock is lost; where it has verified, the others wait for its commit."""
    chance = Random(2)
    with working(tmp_path, WORKERS, ROUNDS, DATABASE_URL=server.url()) as workers, server.connect() as operator:

        def others_go_on(before):
            operator.execute(END_HOLDER)
            blocked = operator.execute(BLOCKED).fetchone()[0]
            return blocked or workers.wait_for_kept(before + 1, within=0.05)

        for count in range(5, ROUNDS, 5):
            assert workers.wait_for_kept(count)
            with workers.frozen(chance.choice(workers.names)):
                before = len(workers.all_said("kept"))
                assert workers.wait_for(lambda before=before: others_go_on(before))
        assert wrong(workers, server) == []
    assert len(workers.all_said("told")) > len(workers.all_said("kept"))


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_the_server_is_restarted(server, tmp_path, mode):
    with working(tmp_path, WORKERS, ROUNDS, DATABASE_URL=server.url()) as workers:
        for count in (40, 100):
            assert workers.wait_for_kept(count)
            server.stop(mode)
            server.start()
        assert wrong(workers, server) == []


def test_a_pooler_stands_before_the_work_and_the_locks_go_around_it(server, tmp_path):
    with pgbouncer(server.url(), pool_size=2) as pooler:
        urls = {"DATABASE_URL": pooler.url(), "DATABASE_DIRECT_URL": server.url()}
        with working(tmp_path, WORKERS, ROUNDS, **urls) as workers, server.connect() as operator:
            for count in range(5, WORKERS * ROUNDS - 10, 12):
                assert workers.wait_for_kept(count)
                operator.execute(END_HOLDER)
            assert wrong(workers, server) == []


def test_locks_in_transaction_scope_go_through_the_pooler(server, tmp_path):
    with (
        pgbouncer(server.url(), pool_size=2) as pooler,
        working(tmp_path, WORKERS, ROUNDS, "transaction", DATABASE_URL=pooler.url()) as workers,
    ):
        assert wrong(workers, server) == []


def test_session_scope_through_the_pooler_is_refused(server):
    with pgbouncer(server.url()) as pooler, django_database(pooler.url()) as alias, pytest.raises(PooledSession):
        advisory_lock(LockNamespace.CYCLE, 1, scope="session", using=alias).__enter__()


def test_the_primary_is_lost_and_the_standby_promoted(tmp_path):
    with primary_with_standby(**SETTINGS) as pair:
        prepare(pair.primary)
        pair.catch_up()
        ports = f"{pair.primary.port},{pair.standby.port}"
        with working(tmp_path, WORKERS, ROUNDS, DATABASE_URL=pair.primary.url(), HISTORY_PORTS=ports) as workers:
            assert workers.wait_for_kept(60)
            pair.kill_primary()
            pair.promote()
            # What was committed and had not reached the standby yet is lost, and is never repeated.
            assert wrong(workers, pair.standby, may_lose=True) == []
        assert {row.token >> 40 for row in rows_of(pair.standby)} == {1, 2}
        until_no_lock_is_left(pair.standby)


# -- mutants --------------------------------------------------------------------


def test_mutant_without_verify_a_lost_lock_lets_two_in(server, tmp_path):
    unverified = working(tmp_path, WORKERS, ROUNDS, "unverified", DATABASE_URL=server.url())
    with unverified as workers, server.connect() as operator:
        for count in range(1, WORKERS * ROUNDS - 1):
            assert workers.wait_for_kept(count)
            operator.execute(END_HOLDER)
            if found := wrong_with_rows(rows_of(server)):
                break
    assert any("before" in sentence for sentence in found)


def test_mutant_without_a_lock_they_overlap(server, tmp_path):
    with working(tmp_path, WORKERS, 10, "unlocked", DATABASE_URL=server.url()) as workers:
        workers.finish()
    assert any("before" in sentence for sentence in wrong_with_rows(rows_of(server)))
