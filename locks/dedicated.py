"""Connections that do nothing but hold a lock: a few per process and database, each for one section at a time.

A connection is used again only after the server itself said that it gave everything back. One that is in any doubt
(an error, a cancelled wait, a socket that says that it is over) is closed: a lock that may be held must never lie in a
pool.
"""

import os
import select
import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
from django.db import connections

from locks.conf import conf
from locks.errors import LockTimeout, OnStandby, PooledSession

Raw = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]

# A holder that cannot be reached any more is noticed by both ends within half a minute, not after two hours.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
_CONNECTED_WITHIN = 10
# The server looks after a client that is gone while it waits, instead of giving it the lock later. A session that is
# not ours is left as it is.
PREPARE = """
    SELECT pg_backend_pid(), pg_is_in_recovery(), CASE WHEN pg_backend_pid() = %s THEN concat(
        set_config('client_connection_check_interval', '1s', false), set_config('idle_session_timeout', '0', false),
        set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false),
        set_config('default_transaction_isolation', 'read committed', false),
        set_config('default_transaction_read_only', 'off', false), set_config('synchronous_commit', 'on', false),
        set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
        set_config('tcp_keepalives_count', '4', false)
    ) END
"""
_NOT_FOR_US = ("cursor_factory", "context", "pool", "row_factory")


def parameters(using: str) -> dict[str, Any]:
    """Return how to connect for the locks of a database: the way around its pooler, where one is named."""
    alias = conf().direct.get(using, using)
    known = connections[alias].get_connection_params()
    ours = {"connect_timeout": _CONNECTED_WITHIN, "keepalives": 1, **_KEEPALIVES}
    return ours | {name: value for name, value in known.items() if name not in _NOT_FOR_US} | {"autocommit": True}


def refuse_unfit(raw: Raw, row: tuple[Any, ...] | None) -> None:
    """Raise PooledSession or OnStandby by what ``PREPARE`` returned.

    A pooler gives its clients numbers of its own instead of the process id of a session. In session mode the session
    would be ours all the same, but nothing tells that from outside: what is ambiguous is refused.
    """
    pid, is_standby, *_ = row or (None, False)
    if pid != raw.info.backend_pid:
        raise PooledSession(
            "Session-scoped locks need a session of their own, but a pooler stands before the server."
            " Name a database that leads around it in LOCKS['DIRECT']."
        )
    if is_standby:
        raise OnStandby("A lock of a standby excludes nobody on the primary.")


def is_lost(raw: Raw) -> bool:
    """Return whether the connection has ended, by looking at its socket: no message is sent, nothing is waited for."""
    if raw.closed or raw.broken:
        return True
    try:
        while _has_something_to_say(raw):
            # A notice is read and forgotten; at the end of the stream it raises.
            raw.pgconn.consume_input()
    except (psycopg.Error, OSError, ValueError):
        return True
    return raw.broken


def _has_something_to_say(raw: Raw) -> bool:
    poll = select.poll()
    poll.register(raw.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def _answers(raw: psycopg.Connection[Any]) -> bool:
    """Return whether one that was kept still has its session. Asked before the lock is: one whose wait was ended by
    somebody is not to wait again.
    """
    try:
        raw.execute("SELECT")
    except psycopg.Error:
        return False
    return True


class NoPlace(LockTimeout):
    """As many locks in session scope are held or waited for as this process may have."""


class Connections:
    """The connections of one process to one database; at most ``SESSIONS`` are open."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._changed = threading.Condition()
        self._kept: list[psycopg.Connection[Any]] = []
        self._open = 0

    def __len__(self) -> int:
        """Return how many are open."""
        return self._open

    def borrow(self, deadline: float | None) -> psycopg.Connection[Any]:
        """Return one that holds nothing; LockTimeout where all are in use until the deadline (monotonic seconds).

        Raises the database's own error where it can not be reached, PooledSession and OnStandby.
        """
        while kept := self._place(deadline):
            if _answers(kept):
                return kept
            self.discard(kept)
        try:
            return self._connected()
        except BaseException:
            self.leave_place()
            raise

    def give_back(self, raw: psycopg.Connection[Any]) -> None:
        """Keep one that holds nothing any more, or close it where there are enough."""
        with self._changed:
            if len(self._kept) < conf().sessions_kept:
                self._kept.append(raw)
                self._changed.notify()
                return
        self.discard(raw)

    def discard(self, raw: psycopg.Connection[Any]) -> None:
        """Close one; whatever it holds goes with it."""
        with suppress(psycopg.Error, OSError):
            raw.close()
        self.leave_place()

    def take_place(self) -> bool:
        """Count one more that is open, where there is room."""
        with self._changed:
            return self._counted()

    def leave_place(self) -> None:
        """Count one less."""
        with self._changed:
            self._open -= 1
            self._changed.notify()

    def full(self) -> "NoPlace":
        """Return the error for who found no room."""
        return NoPlace(f"all {conf().sessions} connections that this process has for locks are in use")

    def close(self) -> None:
        """Close those that are kept."""
        with self._changed:
            kept, self._kept = self._kept, []
        for raw in kept:
            self.discard(raw)

    def _place(self, deadline: float | None) -> psycopg.Connection[Any] | None:
        """Return one that is kept, or None for the right to open one."""
        with self._changed:
            while True:
                if kept := self._good_one():
                    return kept
                if self._counted():
                    return None
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise self.full()
                self._changed.wait(left)

    def _good_one(self) -> psycopg.Connection[Any] | None:
        while self._kept:
            raw = self._kept.pop()
            if not is_lost(raw):
                return raw
            self._open -= 1
            with suppress(psycopg.Error, OSError):
                raw.close()
        return None

    def _counted(self) -> bool:
        if self._open >= conf().sessions:
            return False
        self._open += 1
        return True

    def _connected(self) -> psycopg.Connection[Any]:
        raw = psycopg.connect(**parameters(self._using))
        try:
            refuse_unfit(raw, raw.execute(PREPARE, [raw.info.backend_pid]).fetchone())
        except BaseException:
            raw.close()
            raise
        return raw


_mutex = threading.Lock()
# A database alias and the name of the database that it leads to: a test's is another one.
_all: dict[tuple[str, str], Connections] = {}


def connections_for(using: str) -> Connections:
    """Return this process's connections for locks of a database."""
    place = using, str(connections.settings[using]["NAME"])
    with _mutex:
        if place not in _all:
            _all[place] = Connections(using)
        return _all[place]


def close_kept() -> None:
    """Close all connections that nobody uses; before a database is dropped, or a process hands over."""
    with _mutex:
        every = list(_all.values())
    for one in every:
        one.close()


def _forget() -> None:
    """Start anew in a forked child: the sockets are its parent's."""
    global _mutex
    _mutex = threading.Lock()
    _all.clear()


os.register_at_fork(after_in_child=_forget)
