"""The database's errors become ours, be the lock asked for by us or inside a database function of others."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS, Error, connections

from locks.asks import Answer, Ask
from locks.errors import (
    BUDGET,
    BUSY,
    COLLISION,
    DEADLOCK,
    FULL,
    ORDER,
    REENTERED,
    STALE,
    STANDBY,
    UPGRADE,
    AdvisoryLockError,
    LockDeadlock,
    LockKeyCollision,
    LockOrder,
    LockReentered,
    LockTableFull,
    LockTimeout,
    LockUpgrade,
    OnStandby,
    StaleSnapshot,
    connection_ended,
    detail,
    sqlstate,
)
from locks.holders import Holder, held_by, read_holders
from locks.keys import LockKey
from locks.notes import loss, note_hold, note_refusal, note_wait
from locks.sections import refuse_from_inside

_OURS: dict[str, tuple[type[AdvisoryLockError], str]] = {
    DEADLOCK: (LockDeadlock, "waiting for {} would have closed a circle of transactions"),
    STALE: (StaleSnapshot, "{} protects nothing above READ COMMITTED: rows read under it may be older than the lock"),
    STANDBY: (OnStandby, "{} was asked of a standby, whose locks exclude nobody on the primary"),
    BUDGET: (LockTableFull, "{} was not asked for: the server's lock table is too full"),
    FULL: (LockTableFull, "{} found no room in the server's lock table, which is full"),
    ORDER: (LockOrder, "{} must be taken before the locks of lower namespaces that are held already"),
    UPGRADE: (LockUpgrade, "{} is held shared by this transaction and cannot be had alone"),
    REENTERED: (LockReentered, "{} is already entered on this connection"),
    COLLISION: (LockKeyCollision, "{} has the number of another name"),
}


@dataclass(slots=True)
class Asked:
    """A statement that asks for a lock, while it runs."""

    waited: float | None = None
    """Seconds; to be set by who knows better than the clock around the statement."""


@contextmanager
def asking(key: LockKey, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[Asked]:
    """Surround a statement in which a database function asks for the lock (``locks_take``), and ends what it does.

    Raises what ``advisory_lock`` raises for what the database says, and LockReentered or LockOrder where it does not
    see that this context holds the key, or one that comes after it, on another connection. Every other error passes
    unchanged.
    """
    refuse_from_inside(using, connections[using], (key,), is_waiting=True)
    asked = Asked()
    began = time.monotonic()
    with translated(key, using, began):
        yield asked
    seconds = time.monotonic() - began
    if asked.waited is None:
        note_wait((key,), seconds, using)
    else:
        note_wait((key,), asked.waited, using)
        note_hold((key,), seconds - asked.waited, using)


@contextmanager
def translated(key: LockKey, using: str, began: float) -> Iterator[None]:
    """Surround a statement about the lock: the database's errors become ours."""
    try:
        yield
    except Error as error:
        if ours := translation(error, key, using, began):
            raise ours from error
        raise


def translation(error: Error, key: LockKey, using: str, began: float) -> AdvisoryLockError | None:
    """Return our error for the database's, of a statement about the lock that began then (monotonic seconds).

    None where it says nothing about locks.
    """
    state = sqlstate(error)
    if state == BUSY:
        return busy(key, time.monotonic() - began, read_holders(detail(error)), using)
    if state in _OURS:
        return refusal(state, key)
    if connection_ended(error) or _closed(using):
        return loss(key, using)
    return None


def refused(ask: Ask, answer: Answer) -> AdvisoryLockError:
    """Return our error for an answer that is a refusal; that a key was busy is remembered."""
    key = ask.keys[answer.refused - 1]
    if answer.is_busy:
        return busy(key, answer.waited, answer.holders, ask.using, is_skip=ask.is_skipping)
    return refusal(str(answer.refusal), key)


def busy(
    key: LockKey, seconds: float, holders: tuple[Holder, ...], using: str, *, is_skip: bool = False
) -> LockTimeout:
    """Return the error for a key that was busy for so long, and remember it."""
    note_refusal(key, seconds, holders, using, is_skip=is_skip)
    by = f"; it is held by {held_by(holders)}" if holders else ""
    return LockTimeout(f"{key} is held elsewhere and was not granted within {seconds:.2f} s{by}", holders)


def refusal(state: str, key: LockKey) -> AdvisoryLockError:
    """Return our error for an SQLSTATE that refuses a lock for another reason than that it is busy."""
    ours, said = _OURS[state]
    return ours(said.format(key))


def _closed(using: str) -> bool:
    """Return whether the driver has given the connection up; there is no SQLSTATE when nobody was left to send one."""
    raw = connections[using].connection
    return raw is not None and bool(raw.closed)
