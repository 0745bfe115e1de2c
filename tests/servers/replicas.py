"""A primary and the standby that replicates it."""

from contextlib import contextmanager

from headspace.postgres_account import reachable_programs
from tests.servers.postgres import Server, restartable, running
from tests.servers.processes import home, wait_until


class Pair:
    """A primary and its standby, both PostgreSQL 18."""

    def __init__(self, primary, standby):
        self.primary = primary
        self.standby = standby

    def kill_primary(self):
        """End the primary as the loss of its machine does; nothing is handed over."""
        self.primary.kill()

    def promote(self):
        """Make the standby the primary; return when it takes writes. The old primary, if it lives, goes on too."""
        self.standby.promote()

    def catch_up(self):
        """Wait until the standby shows everything that the primary has written so far."""
        written = self.primary.ask("SELECT pg_current_wal_flush_lsn()::text")
        wait_until(
            lambda: self.standby.ask("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written),
            "the standby's replay",
        )


@contextmanager
def primary_with_standby(synchronous=False, **settings):
    """A primary and its streaming standby; yields a ``Pair``. Settings are for both.

    ``synchronous``: a commit returns only after the standby shows it (``remote_apply``).
    """
    with restartable(wal_level="replica", **settings) as primary, home() as (place, account):
        standby = Server(place, account, reachable_programs(account, place), {"hot_standby": "on", **settings})
        command = [standby.programs / "pg_basebackup", "-D", standby.cluster, "-d", primary.url("postgres")]
        account.demand([*command, "-R", "-X", "stream", "-c", "fast", "--no-sync"], "pg_basebackup failed")
        with running(standby):
            pair = Pair(primary, standby)
            streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
            wait_until(lambda: primary.ask(streaming), "the standby's connection")
            if synchronous:
                _wait_for_each_commit(primary)
            pair.catch_up()
            yield pair


def _wait_for_each_commit(primary):
    with primary.connect() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET synchronous_commit = 'remote_apply'")
        connection.execute("SELECT pg_reload_conf()")
    wait_until(
        lambda: primary.ask("SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication"), "a synchronous standby"
    )
