"""What can go wrong with a lock, and how PostgreSQL's own errors are read.

AdvisoryLockError
├── NotInTransaction     asked outside a transaction: the lock would be gone before the next statement
├── StaleSnapshot        asked above READ COMMITTED: rows read under the lock could be older than the lock
├── LockReentered        this connection is already inside a section of that key
├── LockLost             the lock, or the connection that held it, is gone
├── MonitorTimeout       the server did not say in time who holds what
└── Busy                 somebody else holds it; ``patiently`` tries these again
    ├── LockTimeout      patience ran out (SQLSTATE 55P03)
    ├── LockDeadlock     waiting would never have ended (40P01)
    └── RowBusy          the row is locked by another transaction (55P03)

Any other database error passes through unchanged: a cancelled statement is not a busy lock.
"""

from django.db import Error

BUSY = "55P03"
DEADLOCK = "40P01"
CONFLICT = "40001"
STALE = "25000"
CANCELLED = "57014"
# The server ended the session: shutdown, crash, the session's own time limits.
_ENDED = frozenset({"57P01", "57P02", "57P05", "25P03", "25P04"})
_CONNECTION_FAILED = "08"


class AdvisoryLockError(Exception):
    """A lock was not taken, or does not hold."""


class NotInTransaction(AdvisoryLockError):
    """A transaction-scoped lock was asked for outside a transaction."""


class StaleSnapshot(AdvisoryLockError):
    """The transaction's isolation would show rows from before the lock was taken."""


class LockReentered(AdvisoryLockError):
    """The key is already entered on this connection, by this code or by another task or thread that shares it."""


class LockLost(AdvisoryLockError):
    """The lock does not hold any more; what was done under it must not count."""


class MonitorTimeout(AdvisoryLockError):
    """The server did not say in time who holds what; nothing is wrong with the locks themselves."""


class Busy(AdvisoryLockError):
    """Somebody else holds it: a fact, not a failure."""


class LockTimeout(Busy):
    """The lock was not granted within the caller's patience."""


class LockDeadlock(Busy):
    """Waiting would have closed a circle of transactions; the server ended the wait."""


class RowBusy(Busy):
    """The row is locked by another transaction; the caller's transaction is usable."""


def sqlstate(error: BaseException) -> str:
    """Return the five characters by which PostgreSQL names the error, or an empty text."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def connection_ended(error: Error) -> bool:
    """Return whether the error says that the session is over.

    Where the server could not say so any more, the driver has no SQLSTATE and only its connection tells (``broken``).
    """
    state = sqlstate(error)
    return state in _ENDED or state.startswith(_CONNECTION_FAILED)
