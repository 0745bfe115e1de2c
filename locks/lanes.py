"""Admission within one process: who wants the same key queues here first, in order, and not in the database."""

import threading
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from datetime import timedelta


class Lanes:
    """One lane per key that is in use; a lane admits one thread at a time, first come, first served.

    At most ``limit`` threads wait in a lane; the next one is turned away at once, so that one hot key can not take
    all threads.
    """

    def __init__(self, limit: int) -> None:
        """``limit``: how many may wait for one key, 0 for none. ValueError below."""
        if limit < 0:
            raise ValueError(f"a lane's limit is at least 0, not {limit}")
        self._limit = limit
        self._mutex = threading.Lock()
        # Key → who waits. The key stands here exactly as long as somebody is admitted.
        self._waiting: dict[Hashable, deque[threading.Event]] = {}

    def __len__(self) -> int:
        """Return how many lanes are in use."""
        return len(self._waiting)

    def waiting(self, key: Hashable) -> int:
        """Return how many threads wait for the key."""
        return len(self._waiting.get(key, ()))

    @contextmanager
    def enter(self, key: Hashable, patience: timedelta) -> Iterator[bool]:
        """Run the block alone in the key's lane. The block runs either way and is told whether it was admitted:

        False at once where the lane is full, False after ``patience`` where its turn did not come.
        """
        admitted = self._admitted(key, patience)
        try:
            yield admitted
        finally:
            if admitted:
                self._leave(key)

    def _admitted(self, key: Hashable, patience: timedelta) -> bool:
        turn = threading.Event()
        with self._mutex:
            if key not in self._waiting:
                self._waiting[key] = deque()
                return True
            if len(self._waiting[key]) >= self._limit:
                return False
            self._waiting[key].append(turn)
        try:
            turn.wait(patience.total_seconds())
        except BaseException:
            # A turn that comes to a thread which is being ended must go on to the next.
            if self._step_out(key, turn):
                self._leave(key)
            raise
        return self._step_out(key, turn)

    def _step_out(self, key: Hashable, turn: threading.Event) -> bool:
        """Return whether the turn came; it may have come in the moment in which patience ran out."""
        with self._mutex:
            if not turn.is_set():
                self._waiting[key].remove(turn)
            return turn.is_set()

    def _leave(self, key: Hashable) -> None:
        with self._mutex:
            if self._waiting[key]:
                self._waiting[key].popleft().set()
            else:
                del self._waiting[key]
