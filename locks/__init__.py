"""Locks on PostgreSQL for Django: on the work connection, watched, and right about re-entry."""

from locks.advisory import HeldLock, advisory_lock, advisory_lock_or_skip
from locks.errors import (
    AdvisoryLockError,
    Busy,
    LockDeadlock,
    LockLost,
    LockReentered,
    LockTimeout,
    NotInTransaction,
    RowBusy,
    StaleSnapshot,
)
from locks.keys import LockKey, LockNamespace, lock_key_from_string
from locks.labels import Label, current_label, labelled
from locks.lanes import Lanes
from locks.patience import milliseconds, patiently
from locks.rows import LockingQuerySet
from locks.translation import asking

__all__ = [
    "AdvisoryLockError",
    "Busy",
    "HeldLock",
    "Label",
    "Lanes",
    "LockDeadlock",
    "LockKey",
    "LockLost",
    "LockNamespace",
    "LockReentered",
    "LockTimeout",
    "LockingQuerySet",
    "NotInTransaction",
    "RowBusy",
    "StaleSnapshot",
    "advisory_lock",
    "advisory_lock_or_skip",
    "asking",
    "current_label",
    "labelled",
    "lock_key_from_string",
    "milliseconds",
    "patiently",
]
