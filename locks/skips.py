"""How often in a row a key was skipped: who only ever tries never gets a key for which others wait."""

import os
import threading
from dataclasses import dataclass
from datetime import timedelta

from locks.asks import Ask
from locks.keys import LockKey

_MOST = 10_000
"""Streaks that are remembered; the one that began first is forgotten first."""


@dataclass(frozen=True, slots=True)
class Starving:
    """When skipping ends: after so many skips in a row of one key by this process, ask with patience."""

    after: int
    waits: timedelta


class Streaks:
    """The skips in a row, by key."""

    def __init__(self) -> None:
        self._lengths: dict[tuple[str, LockKey], int] = {}
        self.start_anew()

    def start_anew(self) -> None:
        """Forget everything; so does a forked child."""
        self._mutex = threading.RLock()
        self._lengths.clear()

    def length(self, ask: Ask) -> int:
        """Return the longest streak of the ask's keys."""
        return max((self._lengths.get((ask.using, key), 0) for key in ask.keys), default=0)

    def add(self, ask: Ask) -> None:
        """Count one more skip."""
        with self._mutex:
            for key in ask.keys:
                self._lengths[ask.using, key] = self._lengths.get((ask.using, key), 0) + 1
            while len(self._lengths) > _MOST:
                del self._lengths[next(iter(self._lengths))]

    def end(self, ask: Ask) -> None:
        """Forget the streaks: the keys were had."""
        if self._lengths:
            with self._mutex:
                for key in ask.keys:
                    self._lengths.pop((ask.using, key), None)


streaks = Streaks()
os.register_at_fork(after_in_child=streaks.start_anew)
