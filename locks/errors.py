"""What can go wrong with a lock, and how PostgreSQL's own errors are read.

AdvisoryLockError
├── NotInTransaction     transaction scope outside a transaction: the lock would be gone before the next statement
├── InsideTransaction    session scope inside a transaction: the lock would be gone before the commit
├── StaleSnapshot        asked above READ COMMITTED: rows read under the lock could be older than the lock
├── LockReentered        this connection, or the code around it, is already inside a section of that key
├── LockOrder            a higher namespace was asked for under a lower one: two who do both orders never end
├── LockUpgrade          held shared by this transaction, asked for alone: two who do that never end
├── LockKeyCollision     two names share the number: they would be one lock
├── LockTableFull        the server's lock table is too full, or the keys are too many at once
├── OnStandby            asked on a standby, whose locks exclude nobody on the primary
├── PooledSession        session scope behind a pooler, where the session is not ours
├── LockLost             the lock, or the connection that held it, is gone
├── MonitorTimeout       the server did not say in time who holds what
└── Busy                 somebody else holds it; ``patiently`` tries these again
    ├── LockTimeout      patience ran out (SQLSTATE 55P03)
    ├── LockDeadlock     waiting would never have ended (40P01)
    └── RowBusy          the row is locked by another transaction (55P03)

Any other database error passes through unchanged: a cancelled statement is not a busy lock.
"""

from collections.abc import Iterable

from django.db import Error

from locks.holders import Holder

BUSY = "55P03"
DEADLOCK = "40P01"
CONFLICT = "40001"
STALE = "25000"
STANDBY = "LK005"
FULL = "53200"
ORDER = "LK001"
UPGRADE = "LK002"
COLLISION = "LK003"
REENTERED = "LK004"
BUDGET = "LK006"
CANCELLED = "57014"
# The server ended the session: shutdown, crash, the session's own time limits.
_ENDED = frozenset({"57P01", "57P02", "57P05", "25P03", "25P04"})
_CONNECTION_FAILED = "08"


class AdvisoryLockError(Exception):
    """A lock was not taken, or does not hold."""


class NotInTransaction(AdvisoryLockError):
    """A transaction-scoped lock was asked for outside a transaction."""


class InsideTransaction(AdvisoryLockError):
    """A session-scoped lock was asked for inside a transaction that it would not outlive."""


class StaleSnapshot(AdvisoryLockError):
    """The transaction's isolation would show rows from before the lock was taken."""


class LockReentered(AdvisoryLockError):
    """The key is already entered on this connection, by this code or by another task or thread that shares it."""


class LockOrder(AdvisoryLockError):
    """A lock of a higher namespace was waited for under a lock of a lower one."""


class LockUpgrade(AdvisoryLockError):
    """The transaction holds the lock shared and asked to have it alone."""


class LockKeyCollision(AdvisoryLockError):
    """Another name has the same number: a lock of the one would be a lock of the other."""


class LockTableFull(AdvisoryLockError):
    """There is no room for so many locks; beyond it nobody could connect to the server any more."""


class OnStandby(AdvisoryLockError):
    """The server is a standby: its advisory locks exclude nobody on the primary."""


class PooledSession(AdvisoryLockError):
    """A pooler stands between this process and the server: the session behind it may be everybody's."""


class LockLost(AdvisoryLockError):
    """The lock does not hold any more; what was done under it must not count."""


class MonitorTimeout(AdvisoryLockError):
    """The server did not say in time who holds what; nothing is wrong with the locks themselves."""


class Busy(AdvisoryLockError):
    """Somebody else holds it: a fact, not a failure."""


class LockTimeout(Busy):
    """The lock was not granted within the caller's patience; ``holders`` held it then."""

    def __init__(self, message: str, holders: Iterable[Holder] = ()) -> None:
        """Keep who was in the way."""
        super().__init__(message)
        self.holders = tuple(holders)


class LockDeadlock(Busy):
    """Waiting would have closed a circle of transactions; the server ended the wait."""


class RowBusy(Busy):
    """The row is locked by another transaction; the caller's transaction is usable."""


def sqlstate(error: BaseException) -> str:
    """Return the five characters by which PostgreSQL names the error, or an empty text."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def detail(error: BaseException) -> str:
    """Return what the server said beside the message, or an empty text."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "message_detail", None) or ""


def connection_ended(error: Error) -> bool:
    """Return whether the error says that the session is over.

    Where the server could not say so any more, the driver has no SQLSTATE and only its connection tells (``broken``).
    """
    state = sqlstate(error)
    return state in _ENDED or state.startswith(_CONNECTION_FAILED)
