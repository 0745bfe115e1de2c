"""Threads with a database connection of their own, and facts to wait for."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from django.db import connection, connections

PATIENCE = 10


class Actor:
    """One thread that does what it is told, one thing after the other, on its own connection."""

    def __init__(self):
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._stack = ExitStack()
        self.pid = self.do(lambda: ask("SELECT pg_backend_pid()"))

    def start(self, act, *args):
        """Begin; the future's ``result(PATIENCE)`` tells how it ended."""
        return self._thread.submit(act, *args)

    def do(self, act, *args):
        return self.start(act, *args).result(PATIENCE)

    def start_entering(self, block):
        return self.start(self._stack.enter_context, block)

    def enter(self, block):
        """Enter a ``with`` block and stay in it."""
        return self.start_entering(block).result(PATIENCE)

    def leave(self, error=None):
        """Leave all blocks, innermost first; with an error, as if it had been raised inside."""
        if error is None:
            return self.do(self._stack.close)
        return self.do(self._stack.__exit__, type(error), error, None)

    def start_leaving(self):
        return self.start(self._stack.close)

    def close(self):
        """End the session, whatever it is doing, and the thread."""
        ask("SELECT pg_terminate_backend(%s)", [self.pid])
        self.do(self._unwind)
        self._thread.shutdown()

    def _unwind(self):
        with suppress(Exception):
            self._stack.__exit__(Exception, Exception("the actor goes"), None)
        connections.close_all()


def ask(sql, params=()):
    """Return the first column of the first row."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]


def until(fact, what="the fact"):
    """Wait until the fact is true."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := fact()):
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.002)
    return seen


def until_waiting(actor):
    """Wait until the server says that the actor's session is blocked."""
    until(lambda: ask("SELECT cardinality(pg_blocking_pids(%s)) > 0", [actor.pid]), "the wait")


def advisory_locks(pid=None):
    """Return how many advisory locks this database's sessions (or one of them) hold or wait for, markers included."""
    return ask(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = coalesce(%s, pid)"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [pid],
    )
