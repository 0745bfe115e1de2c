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
from weakref import WeakKeyDictionary, WeakSet

import psycopg
from django.db import connections

from locks.conf import conf
from locks.errors import LockTimeout, OnStandby, PooledSession

Raw = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]

# A holder that cannot be reached any more is noticed by both ends within half a minute, not after two hours.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
_CONNECTED_WITHIN = 10
_LOOK_EVERY = 0.2
# The server looks after a client that is gone while it waits, instead of giving it the lock later. A session that is
# not ours is left as it is.
PREPARE = """
    SELECT pg_backend_pid(), pg_is_in_recovery(), CASE WHEN pg_backend_pid() = %s THEN concat(
        set_config('client_connection_check_interval', '1s', false), set_config('idle_session_timeout', '0', false),
        set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false),
        set_config('default_transaction_isolation', 'read committed', false),
        set_config('default_transaction_read_only', 'off', false), set_config('synchronous_commit', 'on', false),
        set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
        set_config('tcp_keepalives_count', '4', false),
        CASE WHEN current_setting('transaction_timeout', true) <> ''
             THEN set_config('transaction_timeout', '0', false) END,
        CASE WHEN %s <> '' THEN set_config('role', %s, false) END
    ) END
"""
_NOT_FOR_US = ("cursor_factory", "context", "pool", "row_factory")


def parameters(using: str) -> dict[str, Any]:
    """Return how to connect for the locks of a database: the way around its pooler, where one is named."""
    alias = conf().direct.get(using, using)
    known = connections[alias].get_connection_params()
    ours = {"connect_timeout": _CONNECTED_WITHIN, "keepalives": 1, **_KEEPALIVES}
    return ours | {name: value for name, value in known.items() if name not in _NOT_FOR_US} | {"autocommit": True}


def preparation(using: str, raw: Raw) -> tuple[str, list[Any]]:
    """Return the statement that makes a new connection fit for locks, and says whether it can be."""
    role = connections[conf().direct.get(using, using)].settings_dict["OPTIONS"].get("assume_role") or ""
    return PREPARE, [raw.info.backend_pid, role, role]


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


class Place:
    """The right to have one connection open. It belongs to that connection, and goes with it however that goes."""

    __slots__ = ("__weakref__",)


class Connections:
    """The connections of one process to one database; at most ``SESSIONS`` are open."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._changed = threading.Condition(threading.RLock())
        self._kept: list[psycopg.Connection[Any]] = []
        self._places: WeakSet[Place] = WeakSet()
        self._place_of: WeakKeyDictionary[Raw, Place] = WeakKeyDictionary()

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._places)

    def borrow(self, deadline: float | None) -> psycopg.Connection[Any]:
        """Return one that holds nothing; NoPlace where all are in use until the deadline (monotonic seconds).

        Raises the database's own error where it can not be reached, PooledSession and OnStandby.
        """
        while True:
            found = self._kept_or_place(deadline)
            if isinstance(found, Place):
                return self._connected(found)
            if _answers(found):
                return found
            self.discard(found)

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
        self.leave_place(raw)

    def take_place(self) -> Place | None:
        """Return the right to open one more, where there is room."""
        with self._changed:
            if len(self._places) >= conf().sessions:
                return None
            place = Place()
            self._places.add(place)
            return place

    def settle(self, place: Place, raw: Raw) -> None:
        """Let the place be the connection's from now on."""
        self._place_of[raw] = place

    def leave_place(self, raw: Raw) -> None:
        """Give the connection's place to others."""
        with self._changed:
            if place := self._place_of.pop(raw, None):
                self._places.discard(place)
            self._changed.notify()

    def full(self) -> NoPlace:
        """Return the error for who found no room."""
        return NoPlace(f"all {conf().sessions} connections that this process has for locks are in use")

    def close(self) -> None:
        """Close those that are kept."""
        with self._changed:
            kept, self._kept = self._kept, []
        for raw in kept:
            self.discard(raw)

    def forget(self) -> None:
        """Let go of the sockets in a forked child: open there, they would keep a lock whose holder has died."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for raw in list(self._place_of):
            with suppress(psycopg.Error, OSError):
                os.dup2(nowhere, raw.fileno())
        os.close(nowhere)

    def _kept_or_place(self, deadline: float | None) -> psycopg.Connection[Any] | Place:
        with self._changed:
            while True:
                if kept := self._good_one():
                    return kept
                if place := self.take_place():
                    return place
                left = _LOOK_EVERY if deadline is None else min(_LOOK_EVERY, deadline - time.monotonic())
                if left <= 0:
                    raise self.full()
                # Not for longer: of one that the garbage collector took nobody is told.
                self._changed.wait(left)

    def _good_one(self) -> psycopg.Connection[Any] | None:
        while self._kept:
            raw = self._kept.pop()
            if not is_lost(raw):
                return raw
            self.discard(raw)
        return None

    def _connected(self, place: Place) -> psycopg.Connection[Any]:
        raw: psycopg.Connection[Any] = psycopg.connect(**parameters(self._using))
        self.settle(place, raw)
        try:
            refuse_unfit(raw, raw.execute(*preparation(self._using, raw)).fetchone())
        except BaseException:
            self.discard(raw)
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
    for one in _all.values():
        one.forget()
    _all.clear()


os.register_at_fork(after_in_child=_forget)
