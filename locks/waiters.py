"""How many of this process wait for one key: each has a connection, and all of them for one hot key is too many."""

import os
import threading
from collections import Counter

from locks.asks import Ask
from locks.conf import conf

# Entered again where the garbage collector comes in between, and ends a section that somebody dropped.
_mutex = threading.RLock()
# A database and a lock's id → who asks.
_asking: Counter[tuple[str, int]] = Counter()


class Admission:
    """Who may wait: a block that is told the patience with which to ask, its own or 0 where ``WAITERS`` wait already.

    Who finds the key free counts as well while it asks: nobody knows before.
    """

    __slots__ = ("_ask", "_places")

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._places: list[tuple[str, int]] = []

    def __enter__(self) -> int | None:
        if self._ask.patience_ms == 0:
            return 0
        places = [(self._ask.using, key.id) for key in self._ask.keys]
        most = conf().waiters
        with _mutex:
            if any(_asking[place] >= most for place in places):
                return 0
            # First noted, then counted: an error in between is no waiter for ever.
            self._places = places
            _asking.update(places)
        return self._ask.patience_ms

    def __exit__(self, *error: object) -> None:
        with _mutex:
            places, self._places = self._places, []
            for place in places:
                _asking[place] -= 1
                if _asking[place] <= 0:
                    del _asking[place]


def _forget() -> None:
    """Start anew in a forked child: those who wait are its parent's threads."""
    global _mutex
    _mutex = threading.RLock()
    _asking.clear()


os.register_at_fork(after_in_child=_forget)
