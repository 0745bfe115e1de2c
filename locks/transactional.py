"""Transaction scope: the lock on the connection that does the work, held until its transaction ends.

The ``with`` block is the section that must not be entered twice; the lock itself goes with the transaction, because
what was written inside is seen by others only then. So:

- Outside a transaction the lock is refused (``NotInTransaction``), above READ COMMITTED too (``StaleSnapshot``).
- Entering a key whose section is open on this connection, or around the code that started this thread or task with a
  copy of its context, raises ``LockReentered``; after the block it may be entered again in the same transaction,
  without a wait.
- A savepoint that is rolled back gives back the locks that were taken in it. Inside its own section that can only be
  done by hand (``transaction.savepoint_rollback``); ``HeldLock.verify`` notices.
- A refusal leaves the transaction usable, and nothing behind: the database function asks in a subtransaction of its
  own.

Cost: one statement, one flush, with or without a timeout, for one key or many.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from asgiref.sync import sync_to_async
from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from locks.asks import Answer, Ask
from locks.errors import NotInTransaction
from locks.keys import LockKey
from locks.notes import loss, note_hold, note_wait
from locks.sections import Block, Sections, begin_block, end_block, refuse_from_inside, sections_of
from locks.translation import refused, translated, translation
from locks.waiters import Admission

_HOLDS = "SELECT locks_holds(id) FROM unnest(%s::bigint[]) WITH ORDINALITY AS asked(id, place) ORDER BY place"


@dataclass(frozen=True, slots=True)
class HeldLock:
    """Keys that were granted."""

    keys: tuple[LockKey, ...]
    using: str

    @property
    def key(self) -> LockKey:
        """The key, where it is one; of several the first."""
        return self.keys[0]

    def verify(self) -> None:
        """Raise LockLost where the transaction does not hold the lock any more. One statement."""
        for key, held in zip(self.keys, self._held(), strict=True):
            if not held:
                raise loss(key, self.using)

    def _held(self) -> list[bool]:
        if not self.keys:
            return []
        ids = [str(key.id) for key in self.keys]
        asked = translated(self.key, self.using, time.monotonic())
        with asked, connections[self.using].cursor() as cursor:
            cursor.execute(_HOLDS, [ids])
            return [held for (held,) in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Taken:
    """A section that was entered on a connection."""

    connection: BaseDatabaseWrapper
    leave: Callable[[], None]


class Entry:
    """A section that was entered and is to be left."""

    def __init__(self, ask: Ask, taken: Taken) -> None:
        self.held = HeldLock(ask.keys, ask.using)
        self._taken = taken
        self._block: Block = begin_block(ask.using, taken.connection, ask.keys)

    def leave(self, *error: object) -> None:
        """End the section; the transaction keeps the lock."""
        self._taken.leave()
        end_block(self._block)


def enter(ask: Ask) -> Entry:
    """Enter the section of the keys until ``leave``. One statement."""
    return Entry(ask, take(ask, is_block=True))


async def aenter(ask: Ask) -> Entry:
    """Do the same from a task, in the thread in which its synchronous code runs.

    A wait there cannot be cancelled, and others who need that thread wait with it. What a cancelled wait was granted
    goes with the transaction; its section is left at once.
    """
    is_given_up = threading.Event()

    def taking_for_somebody() -> Taken:
        taken = take(ask, is_block=True)
        # Here, before the thread does what is asked of it next: that may be the same key.
        if is_given_up.is_set():
            taken.leave()
        return taken

    taking = asyncio.ensure_future(sync_to_async(taking_for_somebody)())
    try:
        return Entry(ask, await asyncio.shield(taking))
    except asyncio.CancelledError:
        is_given_up.set()
        taking.add_done_callback(_leave)
        raise


def _leave(taking: "asyncio.Future[Taken]") -> None:
    if not taking.cancelled() and not taking.exception():
        taking.result().leave()


def take(ask: Ask, *, is_block: bool = False) -> Taken:
    """Enter the section of the keys: until it is left, or until the innermost ``atomic`` block ends where it is no

    ``with`` block. One statement.
    """
    connection = connections[ask.using]
    require_transaction(connection, ask.keys[0])
    refuse_from_inside(ask.using, connection, ask.keys, is_waiting=ask.patience_ms != 0)
    sections = sections_of(connection)
    # Another thread that shares the connection must not ask between the answer and its entry in the register.
    with sections.mutex, Admission(ask) as patience_ms:
        answer = _asked(connection, ask, patience_ms, sections)
        if answer.refusal:
            raise refused(ask, answer)
        section = sections.enter(ask.keys, answer.again, answer.began_at, None if is_block else connection)
    note_wait(ask.keys, answer.waited, ask.using)
    _note_the_end(connection, ask)
    return Taken(connection, partial(sections.leave, ask.keys, section))


def require_transaction(connection: BaseDatabaseWrapper, name: object) -> None:
    """Raise NotInTransaction where a lock would be gone before the next statement."""
    if not connection.in_atomic_block and connection.get_autocommit():
        raise NotInTransaction(f"{name} can only be locked inside a transaction (atomic): it is held until that ends")


def _asked(connection: BaseDatabaseWrapper, ask: Ask, patience_ms: int | None, sections: Sections) -> Answer:
    began = time.monotonic()
    question = ask.question(patience_ms, sections.inside(ask.keys), sections.began_at)
    try:
        with connection.cursor() as cursor:
            cursor.execute(*question)
            (text,) = cursor.fetchone() or ("",)
    except Error as error:
        if ours := translation(error, ask.keys[0], ask.using, began):
            raise ours from error
        raise
    return Answer.read(text)


def _note_the_end(connection: BaseDatabaseWrapper, ask: Ask) -> None:
    """Note how long the keys were held, at the commit; of what is rolled back nobody asks."""
    if connection.in_atomic_block:
        began = time.monotonic()
        transaction.on_commit(partial(_note_hold, ask, began), using=ask.using, robust=True)


def _note_hold(ask: Ask, began: float) -> None:
    note_hold(ask.keys, time.monotonic() - began, ask.using)
