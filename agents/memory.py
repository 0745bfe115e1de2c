"""What the last record of a session left behind, kept by the process that wrote it.

A hook is decided on it without a look. It may be old: another process may have written since. That is safe for the same
reason as deciding before the lock: ``agents_record`` writes only if the version still stands, checks the host's token
itself, and otherwise answers with what is there now.
"""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

from agents.record import Sight

KEPT = 2048
"""How many sessions one process remembers, the latest used last."""


class Memory:
    """A bounded memory of sights; shared by the threads of a process."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._sights: OrderedDict[Hashable, Sight] = OrderedDict()
        self._mutex = Lock()

    def recall(self, key: Hashable) -> Sight | None:
        """Return what is remembered, and forget it: what comes of it is remembered next."""
        with self._mutex:
            return self._sights.pop(key, None)

    def forget_all(self) -> None:
        """Forget everything: who comes next looks."""
        with self._mutex:
            self._sights.clear()

    def keep(self, key: Hashable, sight: Sight) -> None:
        """Remember a committed sight."""
        with self._mutex:
            self._sights[key] = sight
            if len(self._sights) > self._kept:
                self._sights.popitem(last=False)
