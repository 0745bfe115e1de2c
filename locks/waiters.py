"""How many of this process wait for one key: each has a connection, and all of them for one hot key is too many."""

import threading
from collections import Counter

from locks.asks import Ask
from locks.conf import conf

_mutex = threading.Lock()
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
            for place in places:
                _asking[place] += 1
        self._places = places
        return self._ask.patience_ms

    def __exit__(self, *error: object) -> None:
        with _mutex:
            for place in self._places:
                _asking[place] -= 1
                if not _asking[place]:
                    del _asking[place]
