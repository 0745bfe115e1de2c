"""Session scope: the lock on a connection of its own, for work that one transaction can not span.

The lock and the work are on two connections, so either may go without the other. Therefore every holder gets a number
that outranks those before it (``fence``), and whoever commits asks inside that transaction first whether the number
still stands: ``verify``. Without it a holder whose lock was lost would go on.

    with advisory_lock(namespace, key, scope="session") as lock:
        ask_the_world()
        with transaction.atomic():
            lock.verify()
            write_down()

Cost: one statement and one commit to enter (and an empty one, whether the kept connection still lives), one statement
to leave, one per ``verify``; a connection for as long as it is held, and a new one where none is kept.
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import psycopg
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from locks.asks import ASK_SESSION, Answer, Ask
from locks.dedicated import (
    Connections,
    NoPlace,
    Raw,
    connections_for,
    is_lost,
    parameters,
    preparation,
    refuse_unfit,
)
from locks.errors import InsideTransaction
from locks.keys import LockKey
from locks.notes import loss, note_hold, note_refusal, note_wait
from locks.sections import begin_block, end_block, refuse_from_inside
from locks.transactional import HeldLock, require_transaction
from locks.translation import refused, translated
from locks.waiters import Admission

log = logging.getLogger(__name__)

_RELEASE = "SELECT locks_release(%s::bigint[], %s)"
_VERIFY = "SELECT locks_verify(%s::bigint[], %s::integer[], %s, %s, %s)"
_LOOK_EVERY = 0.02
"""Seconds: how often a task looks for a free place, where all are in use."""


@dataclass(frozen=True, slots=True)
class FencedLock(HeldLock):
    """Keys that a session of their own was granted."""

    fence: int
    """Rises strictly from holder to holder of any key, over restarts and failovers. Write it beside what you write, and
    refuse to write over a higher one, where the work leaves this database.
    """
    shared: bool
    raw: Raw = field(repr=False)
    process: int = field(default_factory=os.getpid)
    """Whose lock it is: a forked child's it is not."""

    @property
    def is_lost(self) -> bool:
        """Whether the lock's connection is known to have ended: the lock is gone. Costs no query."""
        return is_lost(self.raw)

    def verify(self) -> None:
        """Raise LockLost where the lock was lost or somebody else has had it since. Inside the transaction that works:

        the answer then holds until that ends (or the savepoint that it was asked in is rolled back), because nobody is
        let in before. One statement. Raises NotInTransaction too.
        """
        if self.is_lost or os.getpid() != self.process:
            raise loss(self.key, self.using)
        connection = connections[self.using]
        require_transaction(connection, self.key)
        # Around a test case's transaction nobody could be let in any more: there the answer holds for the moment.
        with _given_back(self.using) if _is_in_test_case(connection) else nullcontext():
            stands = self._stands(connection)
        if not stands:
            raise loss(self.key, self.using)

    def _stands(self, connection: BaseDatabaseWrapper) -> bool:
        namespaces = [key.namespace for key in self.keys]
        asked: list[Any] = [_ids(self.keys), namespaces, self.fence, self.shared, self.raw.info.backend_pid]
        with translated(self.key, self.using, time.monotonic()), connection.cursor() as cursor:
            cursor.execute(_VERIFY, asked)
            (stands,) = cursor.fetchone() or (False,)
        return bool(stands)

    async def averify(self) -> None:
        """Do the same from a task, whose transaction is in the thread of ``sync_to_async``."""
        await sync_to_async(self.verify)()


class Entry:
    """A section that was entered and is to be left, from a thread (``leave``) or from a task (``aleave``)."""

    def __init__(self, ask: Ask, raw: Raw, fence: int) -> None:
        self.held = FencedLock(ask.keys, ask.using, fence, ask.shared, raw)
        self._connections = connections_for(ask.using)
        self._block = begin_block(ask.using, None, ask.keys)
        self._began = time.monotonic()

    def leave(self, *error: object) -> None:
        """Give the lock back. LockLost where it was not held any more, unless the block itself has failed."""
        raw = self.held.raw
        assert isinstance(raw, psycopg.Connection)
        end_block(self._block)
        if os.getpid() != self.held.process:
            # In a forked child: the lock, and the socket, are its parent's.
            return
        try:
            (was_held,) = raw.execute(_RELEASE, self._released).fetchone() or (False,)
        except psycopg.Error:
            was_held = False
        except BaseException:
            self._connections.discard(raw)
            raise
        if was_held:
            self._connections.give_back(raw)
        else:
            self._connections.discard(raw)
        self._note_the_end(error, was_held=was_held)

    async def aleave(self, *error: object) -> None:
        """Do the same from a task. The connection is closed whatever happens: another loop could not use it."""
        raw = self.held.raw
        assert isinstance(raw, psycopg.AsyncConnection)
        end_block(self._block)
        try:
            (was_held,) = await (await raw.execute(_RELEASE, self._released)).fetchone() or (False,)
        except psycopg.Error:
            was_held = False
        finally:
            _close(raw)
            self._connections.leave_place(raw)
        self._note_the_end(error, was_held=was_held)

    @property
    def _released(self) -> list[object]:
        return [_ids(self.held.keys), self.held.shared]

    def _note_the_end(self, error: tuple[object, ...], *, was_held: bool) -> None:
        note_hold(self.held.keys, time.monotonic() - self._began, self.held.using)
        if was_held:
            return
        lost = loss(self.held.key, self.held.using)
        if not any(error):
            raise lost
        log.error("%s; the error of its section is raised instead", lost)


def enter(ask: Ask) -> Entry:
    """Enter the section of the keys until ``leave``. Two statements, or a connection where none is kept."""
    _refuse_inside_transaction(ask)
    refuse_from_inside(ask.using, None, ask.keys, is_waiting=ask.patience_ms != 0)
    ours = connections_for(ask.using)
    with Admission(ask) as patience_ms, _translated(ask):
        raw, row = _asked(ours, ask, patience_ms)
    if row[0] is not None:
        # A refusal gave everything back.
        ours.give_back(raw)
        raise refused(ask, Answer.of_row(row))
    try:
        return _entered(ask, raw, row)
    except BaseException:
        ours.discard(raw)
        raise


def _asked(ours: Connections, ask: Ask, patience_ms: int | None) -> tuple[psycopg.Connection[Any], Sequence[Any]]:
    """Return the connection that asked, and its answer."""
    deadline = _deadline(patience_ms)
    raw = ours.borrow(deadline)
    try:
        return raw, raw.execute(ASK_SESSION, ask.parameters(_left(patience_ms, deadline))).fetchone() or (None,)
    except BaseException:
        # Whether the server granted it in the end, nobody knows.
        ours.discard(raw)
        raise


async def aenter(ask: Ask) -> Entry:
    """Do the same from a task: other tasks go on meanwhile, and a wait that is cancelled leaves nothing behind."""
    await sync_to_async(_refuse_inside_transaction)(ask)
    refuse_from_inside(ask.using, None, ask.keys, is_waiting=ask.patience_ms != 0)
    with Admission(ask) as patience_ms, _translated(ask):
        deadline = _deadline(patience_ms)
        raw = await _aconnected(ask, deadline)
        try:
            refuse_unfit(raw, await (await raw.execute(*preparation(ask.using, raw))).fetchone())
            cursor = await raw.execute(ASK_SESSION, ask.parameters(_left(patience_ms, deadline)))
            row = await cursor.fetchone() or (None,)
            if row[0] is not None:
                raise refused(ask, Answer.of_row(row))
            return _entered(ask, raw, row)
        except BaseException:
            _close(raw)
            connections_for(ask.using).leave_place(raw)
            raise


async def _aconnected(ask: Ask, deadline: float | None) -> psycopg.AsyncConnection[Any]:
    """Return a new connection in a place of its own; NoPlace where there is none until the deadline."""
    ours = connections_for(ask.using)
    while not (place := ours.take_place()):
        if deadline is not None and time.monotonic() >= deadline:
            raise ours.full()
        await asyncio.sleep(_LOOK_EVERY)
    raw: psycopg.AsyncConnection[Any] = await psycopg.AsyncConnection.connect(**parameters(ask.using))
    ours.settle(place, raw)
    return raw


def _close(raw: Raw) -> None:
    """End the session at once: what it holds goes with it. A task that is cancelled could not wait for more."""
    raw.pgconn.finish()


@contextmanager
def _translated(ask: Ask) -> Iterator[None]:
    began = time.monotonic()
    try:
        with translated(ask.keys[0], ask.using, began), connections[ask.using].wrap_database_errors:
            yield
    except NoPlace as error:
        note_refusal(ask.keys[0], time.monotonic() - began, (), ask.using, is_skip=ask.is_skipping)
        raise error from None


def _entered(ask: Ask, raw: Raw, row: Sequence[Any]) -> Entry:
    note_wait(ask.keys, Answer.of_row(row).waited, ask.using)
    return Entry(ask, raw, int(row[-1]))


def _refuse_inside_transaction(ask: Ask) -> None:
    """A lock that is given back before the commit would let the next one in before the rows are there to be seen.

    That is so for a transaction of any database. The one around a test case does not count, as for
    ``atomic(durable=True)``.
    """
    if any(_is_in_transaction(connection) for connection in connections.all(initialized_only=True)):
        raise InsideTransaction(
            f"{ask.keys[0]} would be given back before this transaction is committed:"
            " take it outside, or in transaction scope"
        )


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    blocks = connection.atomic_blocks
    if not blocks:
        return connection.connection is not None and not connection.autocommit
    return not getattr(blocks[-1], "_from_testcase", False)


def _is_in_test_case(connection: BaseDatabaseWrapper) -> bool:
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


@contextmanager
def _given_back(using: str) -> Iterator[None]:
    """Give back the locks that are taken in the block."""
    with transaction.atomic(using=using):
        yield
        transaction.set_rollback(True, using=using)


def _deadline(patience_ms: int | None) -> float | None:
    return None if patience_ms is None else time.monotonic() + patience_ms / 1000


def _left(patience_ms: int | None, deadline: float | None) -> int | None:
    """Return what connecting has left of the patience: who had any still waits a little."""
    if not patience_ms or deadline is None:
        return patience_ms
    return max(1, round((deadline - time.monotonic()) * 1000))


def _ids(keys: tuple[LockKey, ...]) -> list[str]:
    return [str(key.id) for key in keys]
