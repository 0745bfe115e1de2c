"""How long we ask: a timeout in the server's unit, a transaction that is tried again while others are in its way."""

import math
import time
from collections.abc import Callable
from datetime import timedelta
from random import SystemRandom
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, OperationalError, transaction

from locks.errors import BUSY, CONFLICT, DEADLOCK, Busy, sqlstate

T = TypeVar("T")
# What a lock's timeout may be: seconds, a duration, or None for "as long as the session's own lock_timeout lets".
Timeout = float | timedelta | None

_LONGEST_MS = 2**31 - 1
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25
_AGAIN = frozenset({BUSY, DEADLOCK, CONFLICT})
_random = SystemRandom()


def milliseconds(timeout: Timeout) -> int | None:
    """Return a timeout in whole milliseconds, rounded up: only 0 never waits. None stays None.

    TypeError for what is neither a number nor a duration, ValueError below 0 or above 24 days (the server's limit).
    """
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"a timeout is a number of seconds or a timedelta, not {type(timeout).__name__}")
    if not 0 <= seconds * 1000 <= _LONGEST_MS:
        raise ValueError(f"a timeout lies from 0 seconds to 24 days: {timeout} does not")
    # Rounded to the microsecond first: 1.001 * 1000 is a little less than 1001, 0.07 * 1000 a little more than 70.
    return math.ceil(round(seconds * 1000, 3))


def patiently(attempt: Callable[[timedelta], T], patience: timedelta, *, using: str = DEFAULT_DB_ALIAS) -> T:
    """Run ``attempt`` in a transaction of its own, and again from the start while others are in its way.

    ``attempt`` gets the patience that is left, to hand on as a timeout; it runs at least once. Tried again: ``Busy``,
    and the database's own busy (55P03), deadlock (40P01) and serialisation (40001) errors. When the patience is over,
    the last of them is raised. RuntimeError inside a transaction: what failed in it could not be taken back.
    """
    deadline = time.monotonic() + patience.total_seconds()
    pause = _FIRST_PAUSE
    while True:
        try:
            return _in_transaction(attempt, _left(deadline), using)
        except (Busy, OperationalError) as error:
            if not _worth_another_try(error) or not _left(deadline):
                raise
        # Of random length, so that two who met do not meet again.
        time.sleep(min(_random.uniform(0, pause), _left(deadline).total_seconds()))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _in_transaction(attempt: Callable[[timedelta], T], left: timedelta, using: str) -> T:
    with transaction.atomic(using=using, durable=True):
        return attempt(left)


def _left(deadline: float) -> timedelta:
    return timedelta(seconds=max(0.0, deadline - time.monotonic()))


def _worth_another_try(error: Exception) -> bool:
    return isinstance(error, Busy) or sqlstate(error) in _AGAIN
