"""The keys that code on a connection is inside of: how re-entry is noticed.

The lock belongs to the connection's transaction, so the register belongs to the connection too. Whoever shares the
connection, another thread or another asyncio task, finds the section there; a register per thread or per task would
let it in.

A section ends with its ``with`` block, or, where there is none, with the innermost ``atomic`` block that it was
entered in. The lock outlives the section: the transaction holds it to its end. Only the database knows which keys a
transaction still holds (a rolled back savepoint gives locks back), so it is asked first, and the register then tells
"held" from "inside of it".

A helper thread or a task that has a connection of its own, but was started inside of a section with a copy of its
context, would wait for whoever waits for it. The context knows which blocks it is inside of (``refuse_from_inside``).
"""

import os
import threading
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from weakref import WeakKeyDictionary, ref

from django.db.backends.base.base import BaseDatabaseWrapper

from locks.errors import LockOrder, LockReentered
from locks.keys import LockKey

_of_connection: WeakKeyDictionary[BaseDatabaseWrapper, "Sections"] = WeakKeyDictionary()
_register = threading.RLock()


class Sections:
    """The open sections of one connection; who asks for a lock on it holds ``mutex`` from the question to the entry."""

    def __init__(self) -> None:
        self.mutex = threading.RLock()
        self._entered: dict[int, _Section] = {}
        self.began_at = ""
        """When the transaction began in which they were entered, in the server's words."""

    def enter(
        self, keys: Iterable[LockKey], again: Collection[str], began_at: str, connection: BaseDatabaseWrapper | None
    ) -> "_Section":
        """Note a section of keys that the database has just granted. LockReentered where one of them is open.

        ``again`` are the ids that the transaction, which began then, held before, be they taken by SQL of others. What
        an earlier transaction entered is over. ``connection``: whose innermost savepoint ends the section, where nobody
        leaves it; None for a block, which is open until it is left. Returns what ``leave`` wants.
        """
        if began_at != self.began_at:
            self._entered.clear()
            self.began_at = began_at
        for key in keys:
            if str(key.id) in again and self._inside(key):
                raise LockReentered(f"{key} is already entered on this connection")
        section = _Section(connection, _innermost_savepoint(connection) if connection else None)
        self._entered.update(dict.fromkeys((key.id for key in keys), section))
        return section

    def leave(self, keys: Iterable[LockKey], section: "_Section") -> None:
        """End the section; one of the same keys that was entered after a rollback of this one's stays."""
        for key in keys:
            if self._entered.get(key.id) is section:
                del self._entered[key.id]

    def inside(self, keys: Iterable[LockKey]) -> list[int]:
        """Return the ids of those keys whose sections are open, by the register's own account."""
        return [key.id for key in keys if self._inside(key)]

    def _inside(self, key: LockKey) -> bool:
        section = self._entered.get(key.id)
        return section is not None and section.is_open


@dataclass(slots=True, eq=False)
class _Section:
    """A section of one or more keys that was entered on a connection."""

    connection: BaseDatabaseWrapper | None
    savepoint: str | None
    """The innermost one in which it was entered, and with which it ends; None for the transaction itself."""

    @property
    def is_open(self) -> bool:
        return not (self.connection and self.savepoint) or self.savepoint in self.connection.savepoint_ids


@dataclass(slots=True, eq=False, weakref_slot=True)
class Block:
    """A ``with`` block around a section, as the contexts that were copied inside of it know it: weakly, so that one
    which was never left ends with whoever entered it.
    """

    using: str
    connection: BaseDatabaseWrapper | None
    """None for a lock that has a connection of its own."""
    keys: Collection[LockKey]
    is_open: bool = True


_blocks: ContextVar[tuple[ref[Block], ...]] = ContextVar("blocks", default=())


def begin_block(using: str, connection: BaseDatabaseWrapper | None, keys: Collection[LockKey]) -> Block:
    """Note in this context that it is inside of a section from now on."""
    block = Block(using, connection, keys)
    _blocks.set((*map(ref, _open_blocks()), ref(block)))
    return block


def end_block(block: Block) -> None:
    """End the block in every context that knows it; it may be left in another one than it was entered in."""
    block.is_open = False
    _blocks.set(tuple(map(ref, _open_blocks())))


def refuse_from_inside(
    using: str, connection: BaseDatabaseWrapper | None, keys: Collection[LockKey], *, is_waiting: bool
) -> None:
    """Refuse what this context could only wait for in vain, or in a circle: what the server does not see, because the
    locks are on different connections to the database.

    Raises LockReentered where it is inside of a section of one of the keys, and LockOrder where it would wait for a key
    that stands before one that it holds.
    """
    for block in _open_blocks():
        if block.using != using or (block.connection is connection and connection is not None):
            continue
        for key in keys:
            if key in block.keys:
                raise LockReentered(f"{key} is already entered by the code that this code was started from")
            if is_waiting and any(key < held for held in block.keys):
                raise LockOrder(f"{key} must be taken before {max(block.keys)}, or together with it")


def _open_blocks() -> list[Block]:
    blocks = (known() for known in _blocks.get())
    return [block for block in blocks if block and block.is_open]


def sections_of(connection: BaseDatabaseWrapper) -> Sections:
    """Return the connection's register."""
    with _register:
        sections = _of_connection.get(connection)
        if sections is None:
            sections = _of_connection[connection] = Sections()
        return sections


def _innermost_savepoint(connection: BaseDatabaseWrapper) -> str | None:
    # A block without a savepoint of its own is noted as None.
    return next((savepoint for savepoint in reversed(connection.savepoint_ids) if savepoint), None)


def _start_anew() -> None:
    """In a forked child no other thread is in the register."""
    global _register
    _register = threading.RLock()


os.register_at_fork(after_in_child=_start_anew)
