"""How many of this process wait for one key: each has a connection, and all of them for one hot key is too many."""

import os
import threading
from weakref import WeakSet

from locks.asks import Ask
from locks.conf import conf

# Entered again where the garbage collector comes in between, and ends a section that somebody dropped.
_mutex = threading.RLock()
# A database and a lock's id → who asks; weakly, so that one who was interrupted asks no longer than it lives.
_asking: dict[tuple[str, int], "WeakSet[Admission]"] = {}


class Admission:
    """Who may wait: a block that is told the patience with which to ask, its own or 0 where ``WAITERS`` wait already.

    Who finds the key free counts as well while it asks: nobody knows before.
    """

    __slots__ = ("__weakref__", "_ask")

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __enter__(self) -> int | None:
        if self._ask.patience_ms == 0:
            return 0
        most = conf().waiters
        with _mutex:
            if any(len(_asking.get(place, ())) >= most for place in self._places):
                return 0
            for place in self._places:
                _asking.setdefault(place, WeakSet()).add(self)
        return self._ask.patience_ms

    def __exit__(self, *error: object) -> None:
        with _mutex:
            for place in self._places:
                if others := _asking.get(place):
                    others.discard(self)
                if not others:
                    _asking.pop(place, None)

    @property
    def _places(self) -> list[tuple[str, int]]:
        return [(self._ask.using, key.id) for key in self._ask.keys]


def waiting() -> int:
    """Return how many ask for a key, or wait for it, in this process now; who asks for many keys counts for each."""
    with _mutex:
        return sum(map(len, _asking.values()))


def _forget() -> None:
    """Start anew in a forked child: those who wait are its parent's threads."""
    global _mutex
    _mutex = threading.RLock()
    _asking.clear()


os.register_at_fork(after_in_child=_forget)
