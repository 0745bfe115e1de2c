"""How many of this process wait for one key: each has a connection, and all of them for one hot key is too many."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from locks.asks import Ask
from locks.conf import conf
from locks.keys import LockKey

_mutex = threading.Lock()
_asking: Counter[tuple[str, LockKey]] = Counter()


@contextmanager
def admitted(ask: Ask) -> Iterator[int | None]:
    """Yield the patience with which to ask: the asker's own, or 0 where ``WAITERS`` wait already for one of the keys.

    Who finds the key free counts as well while it asks: nobody knows before.
    """
    if ask.patience_ms == 0:
        yield 0
        return
    places = [(ask.using, key) for key in ask.keys]
    with _mutex:
        is_full = any(_asking[place] >= conf().waiters for place in places)
        _asking.update(() if is_full else places)
    try:
        yield 0 if is_full else ask.patience_ms
    finally:
        if not is_full:
            with _mutex:
                _asking.subtract(places)
                for place in places:
                    if not _asking[place]:
                        del _asking[place]
