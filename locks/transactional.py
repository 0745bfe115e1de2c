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

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from locks.asks import Answer, Ask
from locks.errors import NotInTransaction
from locks.keys import LockKey
from locks.notes import loss, note_hold, note_wait
from locks.sections import Block, Sections, begin_block, end_block, refuse_from_inside, sections_of
from locks.translation import busy, refusal, translated, translation
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
            cursor.execute(
                "SELECT locks_holds(id) FROM unnest(%s::bigint[]) WITH ORDINALITY AS t(id, n) ORDER BY n", [ids]
            )
            return [held for (held,) in cursor.fetchall()]


class Entry:
    """A section that was entered and is to be left."""

    def __init__(self, ask: Ask, connection: BaseDatabaseWrapper, leave: Callable[[], None]) -> None:
        self.held = HeldLock(ask.keys, ask.using)
        self._leave = leave
        self._block: Block = begin_block(ask.using, connection, ask.keys)

    def leave(self, *error: object) -> None:
        """End the section; the transaction keeps the lock."""
        self._leave()
        end_block(self._block)


def enter(ask: Ask) -> Entry:
    """Enter the section of the keys until ``leave``. One statement."""
    return Entry(ask, connections[ask.using], take(ask))


def take(ask: Ask) -> Callable[[], None]:
    """Enter the section of the keys until the innermost ``atomic`` block ends, or until what is returned is called.

    One statement.
    """
    connection = connections[ask.using]
    require_transaction(connection, ask.keys[0])
    refuse_from_inside(ask.using, connection, ask.keys, is_waiting=ask.patience_ms != 0)
    sections = sections_of(connection)
    # Another thread that shares the connection must not ask between the answer and its entry in the register.
    with sections.mutex, Admission(ask) as patience_ms:
        answer = _asked(connection, ask, patience_ms, sections)
        if answer.refusal:
            raise _refused(ask, answer)
        section = sections.enter(connection, ask.keys, answer.again, answer.began_at)
    note_wait(ask.keys, answer.waited, ask.using)
    _note_the_end(connection, ask)
    return partial(sections.leave, ask.keys, section)


def require_transaction(connection: BaseDatabaseWrapper, name: object) -> None:
    """Raise NotInTransaction where a lock would be gone before the next statement."""
    if not connection.in_atomic_block and connection.get_autocommit():
        raise NotInTransaction(f"{name} can only be locked inside a transaction (atomic): it is held until that ends")


def _asked(connection: BaseDatabaseWrapper, ask: Ask, patience_ms: int | None, sections: Sections) -> Answer:
    began = time.monotonic()
    question = ask.question(patience_ms, sections.inside(connection, ask.keys), sections.began_at)
    try:
        with connection.cursor() as cursor:
            cursor.execute(*question)
            (text,) = cursor.fetchone() or ("",)
    except Error as error:
        raise translation(error, ask.keys[0], ask.using, began) from error
    return Answer.read(text)


def _refused(ask: Ask, answer: Answer) -> Exception:
    key = ask.keys[answer.refused - 1]
    if answer.is_busy:
        return busy(key, answer.waited, answer.holders, ask.using, is_skip=ask.is_skipping)
    return refusal(str(answer.refusal), key)


def _note_the_end(connection: BaseDatabaseWrapper, ask: Ask) -> None:
    """Note how long the keys were held, at the commit; of what is rolled back nobody asks."""
    if connection.in_atomic_block:
        began = time.monotonic()
        transaction.on_commit(partial(_note_hold, ask, began), using=ask.using, robust=True)


def _note_hold(ask: Ask, began: float) -> None:
    note_hold(ask.keys, time.monotonic() - began, ask.using)
