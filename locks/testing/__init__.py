"""For tests of code that locks: all interleavings of sessions, a key held elsewhere, a lost connection, no leaks.

With pytest-django, ``pytest_plugins = ["locks.testing.fixtures"]`` adds the fixture ``no_locks_left``.
"""

from locks.testing.actors import step
from locks.testing.elsewhere import held_elsewhere, lose_connection
from locks.testing.interleavings import (
    Deadlock,
    Explored,
    Outcome,
    Scene,
    ScheduleFailed,
    TooManyRuns,
    Unrepeatable,
    explore,
    replay,
)
from locks.testing.leaks import assert_no_locks_left, locks_left

__all__ = [
    "Deadlock",
    "Explored",
    "Outcome",
    "Scene",
    "ScheduleFailed",
    "TooManyRuns",
    "Unrepeatable",
    "assert_no_locks_left",
    "explore",
    "held_elsewhere",
    "locks_left",
    "lose_connection",
    "replay",
    "step",
]
