"""Locks on PostgreSQL for Django: on the work connection or fenced, watched, and right about re-entry."""

from locks.advisory import advisory_lock, advisory_lock_or_skip, advisory_locks, advisory_locks_or_skip
from locks.errors import (
    AdvisoryLockError,
    Busy,
    InsideTransaction,
    LockDeadlock,
    LockKeyCollision,
    LockLost,
    LockOrder,
    LockReentered,
    LockTableFull,
    LockTimeout,
    LockUpgrade,
    NotInTransaction,
    OnStandby,
    PooledSession,
    RowBusy,
    StaleSnapshot,
)
from locks.fenced import FencedLock
from locks.holders import Holder
from locks.keys import LockKey, LockNamespace, lock_key_from_string, register_namespaces
from locks.labels import Label, current_label, labelled
from locks.lanes import Lanes
from locks.patience import milliseconds, patiently
from locks.rows import LockingQuerySet
from locks.skips import Starving
from locks.transactional import HeldLock
from locks.translation import asking

__all__ = [
    "AdvisoryLockError",
    "Busy",
    "FencedLock",
    "HeldLock",
    "Holder",
    "InsideTransaction",
    "Label",
    "Lanes",
    "LockDeadlock",
    "LockKey",
    "LockKeyCollision",
    "LockLost",
    "LockNamespace",
    "LockOrder",
    "LockReentered",
    "LockTableFull",
    "LockTimeout",
    "LockUpgrade",
    "LockingQuerySet",
    "NotInTransaction",
    "OnStandby",
    "PooledSession",
    "RowBusy",
    "StaleSnapshot",
    "Starving",
    "advisory_lock",
    "advisory_lock_or_skip",
    "advisory_locks",
    "advisory_locks_or_skip",
    "asking",
    "current_label",
    "labelled",
    "lock_key_from_string",
    "milliseconds",
    "patiently",
    "register_namespaces",
]
