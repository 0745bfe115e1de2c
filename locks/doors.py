"""A door: the way into one section and out of it again, whatever its scope, from a thread or from a task."""

import threading

from locks import fenced, transactional
from locks.asks import Ask
from locks.errors import LockReentered
from locks.transactional import HeldLock


class Door:
    """The way into one section at a time.

    A block claims the door before it goes in and for as long as it takes, entered or not: two blocks that shared the
    object would leave each other's section.
    """

    def __init__(self) -> None:
        self._claimed = threading.Lock()
        self._entry: fenced.Entry | transactional.Entry | None = None

    def claim(self) -> None:
        """Raise LockReentered where another block has claimed it."""
        if not self._claimed.acquire(blocking=False):
            raise LockReentered("this object is in use by another block: make one for each")

    def enter(self, ask: Ask) -> HeldLock:
        """Enter; returns the held lock. Raises what ``advisory_lock`` raises."""
        if ask.keys:
            self._entry = fenced.enter(ask) if ask.scope == "session" else transactional.enter(ask)
        return self._held(ask)

    def leave(self, *error: object) -> None:
        """Leave, if it was entered, and give the door free.

        LockLost where the lock was lost meanwhile and the block has not failed itself.
        """
        try:
            if self._entry:
                self._entry.leave(*error)
        finally:
            self._give_free()

    async def aenter(self, ask: Ask) -> HeldLock:
        """Enter from a task. Transaction scope is that of the thread in which its synchronous code runs."""
        if ask.keys and ask.scope == "session":
            self._entry = await fenced.aenter(ask)
        elif ask.keys:
            self._entry = await transactional.aenter(ask)
        return self._held(ask)

    async def aleave(self, *error: object) -> None:
        """Leave from a task."""
        try:
            if isinstance(self._entry, fenced.Entry):
                await self._entry.aleave(*error)
            elif self._entry:
                # Nothing is asked of the database, nor of the thread.
                self._entry.leave(*error)
        finally:
            self._give_free()

    def _held(self, ask: Ask) -> HeldLock:
        return self._entry.held if self._entry else HeldLock((), ask.using)

    def _give_free(self) -> None:
        self._entry = None
        self._claimed.release()
