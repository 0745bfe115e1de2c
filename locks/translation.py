"""Asking the database for a lock: its errors become ours, and what went badly is counted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, Error, connections

from locks.counts import Kind, tally
from locks.errors import (
    BUSY,
    DEADLOCK,
    STALE,
    AdvisoryLockError,
    LockDeadlock,
    LockLost,
    LockTimeout,
    StaleSnapshot,
    connection_ended,
    sqlstate,
)
from locks.keys import LockKey

_LONG_WAIT_SECONDS = 1.0
_OURS: dict[str, type[AdvisoryLockError]] = {BUSY: LockTimeout, DEADLOCK: LockDeadlock, STALE: StaleSnapshot}
_SAID = {
    BUSY: "{} is held elsewhere and was not granted in time",
    DEADLOCK: "waiting for {} would have closed a circle of transactions",
    STALE: "{} protects nothing above READ COMMITTED: rows read under it may be older than the lock",
}


@contextmanager
def asking(key: LockKey, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Surround a statement that asks for the lock, be it inside another database function (``locks_take``).

    Raises LockTimeout, LockDeadlock, StaleSnapshot and LockLost for what the database says; every other error passes
    unchanged.
    """
    started = time.monotonic()
    try:
        yield
    except Error as error:
        ours = _ours(error, key, using)
        if ours is None:
            raise
        raise ours from error
    finally:
        if time.monotonic() - started > _LONG_WAIT_SECONDS:
            tally.add("waits_over_1s", using)


def refusal(state: str, key: LockKey, using: str, counted_as: Kind = "timeouts") -> AdvisoryLockError:
    """Return our error for an SQLSTATE that refuses a lock; a busy lock is counted."""
    if state == BUSY:
        tally.add(counted_as, using)
    return _OURS[state](_SAID[state].format(key))


def loss(key: LockKey, using: str) -> LockLost:
    """Return the error for a lock that does not hold any more, counted."""
    tally.add("lost", using)
    return LockLost(f"{key} does not hold any more")


def _ours(error: Error, key: LockKey, using: str) -> AdvisoryLockError | None:
    if sqlstate(error) in _OURS:
        return refusal(sqlstate(error), key, using)
    return loss(key, using) if connection_ended(error) or _closed(using) else None


def _closed(using: str) -> bool:
    """Return whether the driver has given the connection up; there is no SQLSTATE when nobody was left to send one."""
    raw = connections[using].connection
    return raw is not None and bool(raw.closed)
