"""What the tests of PostgreSQL's own behaviour share: sessions without Django, and threads that wait in them."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
from django.db import connection

from tests.locks.actors import PATIENCE, until

KEY = 7


class Sessions:
    """Makes sessions of the tests' database, plain psycopg; they end with the test."""

    def __init__(self):
        self._opened = []
        self._threads = ThreadPoolExecutor(8)

    def __call__(self, **params):
        known = connection.get_connection_params() | {"cursor_factory": psycopg.ClientCursor}
        self._opened.append(psycopg.connect(**known | params))
        return self._opened[-1]

    def committing(self, **params):
        """A session in which each statement is its own transaction."""
        return self(autocommit=True, **params)

    def start(self, raw, sql, *params):
        """Execute in a thread; the future's ``result(PATIENCE)`` tells how it ended."""
        return self._threads.submit(raw.execute, sql, params or None)

    def start_waiting(self, raw, sql, *params):
        """The same, and go on as soon as the server says that the session waits."""
        begun = self.start(raw, sql, *params)
        self.until_waiting(raw)
        return begun

    def until_waiting(self, raw):
        until(lambda: self.blockers(raw), "the wait")

    def blockers(self, raw):
        """The process ids for which the session waits."""
        with self._watcher() as watcher:
            return set(first(watcher, "SELECT pg_blocking_pids(%s)", raw.info.backend_pid))

    def is_held(self, key=KEY):
        """Whether somebody holds the key (one number)."""
        with self._watcher() as watcher:
            return first(watcher, "SELECT count(*) FROM pg_locks WHERE granted AND objsubid = 1 AND " + THIS, key) > 0

    def close(self):
        with self._watcher() as watcher:
            for raw in self._opened:
                watcher.execute("SELECT pg_terminate_backend(%s)", [raw.info.backend_pid if not raw.closed else 0])
        self._threads.shutdown()
        for raw in self._opened:
            raw.close()

    def _watcher(self):
        return psycopg.connect(**connection.get_connection_params(), autocommit=True)


THIS = (
    "locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint) = %s"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
"""The condition by which pg_locks is asked for one key of one number."""


@contextmanager
def sessions():
    made = Sessions()
    try:
        yield made
    finally:
        made.close()


def first(raw, sql, *params):
    """The first column of the first row."""
    return raw.execute(sql, params or None).fetchone()[0]


def own_locks(raw, key=KEY):
    """How many rows of pg_locks the session has for the key."""
    return first(raw, f"SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND {THIS}", key)


def result(future):
    return future.result(PATIENCE)
