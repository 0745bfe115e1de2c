"""A door: the way into one section and out of it again, whatever its scope, from a thread or from a task."""

import threading
from typing import Any

from asgiref.sync import sync_to_async

from locks import fenced, transactional
from locks.asks import Ask
from locks.errors import LockReentered
from locks.transactional import HeldLock


class Door:
    """Holds one entry at a time: two blocks that share the object would leave each other's section."""

    def __init__(self) -> None:
        self._in_use = threading.Lock()
        self._entry: fenced.Entry | transactional.Entry | None = None

    def enter(self, ask: Ask) -> Any:
        """Enter; returns the held lock. Raises what ``advisory_lock`` raises."""
        self._use()
        try:
            if ask.keys:
                self._entry = fenced.enter(ask) if ask.scope == "session" else transactional.enter(ask)
        except BaseException:
            self._in_use.release()
            raise
        return self._held(ask)

    def leave(self, *error: object) -> None:
        """Leave, if it was entered. LockLost where the lock was lost meanwhile and the block has not failed itself."""
        entry = self._taken_out()
        if entry:
            entry.leave(*error)

    async def aenter(self, ask: Ask) -> Any:
        """Enter from a task. Transaction scope is that of the thread in which its synchronous code runs."""
        self._use()
        try:
            if ask.keys and ask.scope == "session":
                self._entry = await fenced.aenter(ask)
            elif ask.keys:
                self._entry = await sync_to_async(transactional.enter)(ask)
        except BaseException:
            self._in_use.release()
            raise
        return self._held(ask)

    async def aleave(self, *error: object) -> None:
        """Leave from a task."""
        entry = self._taken_out()
        if isinstance(entry, fenced.Entry):
            await entry.aleave(*error)
        elif entry:
            await sync_to_async(entry.leave)(*error)

    def _use(self) -> None:
        if not self._in_use.acquire(blocking=False):
            raise LockReentered("this object is inside of its section already: make one for each block")

    def _held(self, ask: Ask) -> HeldLock:
        return self._entry.held if self._entry else HeldLock((), ask.using)

    def _taken_out(self) -> fenced.Entry | transactional.Entry | None:
        entry, self._entry = self._entry, None
        if self._in_use.locked():
            self._in_use.release()
        return entry
