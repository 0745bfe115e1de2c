"""Advisory locks on the connection that does the work, held until its transaction ends.

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

Cost: one statement, one flush, with or without a timeout.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from locks.counts import Kind, tally
from locks.errors import BUSY, DEADLOCK, STALE, Busy, LockReentered, NotInTransaction
from locks.keys import LockKey
from locks.labels import current_label
from locks.patience import Timeout, milliseconds
from locks.sections import Block, Sections, begin_block, end_block, refuse_from_inside, sections_of
from locks.translation import asking, loss, refusal

SCOPES = ("transaction",)
PATIENCE = timedelta(seconds=15)
_REFUSALS = {"busy": BUSY, "deadlock": DEADLOCK, "stale": STALE}


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock that this connection's transaction was granted."""

    key: LockKey
    using: str

    def verify(self) -> None:
        """Raise LockLost where the transaction does not hold the lock any more. One statement."""
        with asking(self.key, using=self.using), connections[self.using].cursor() as cursor:
            cursor.execute("SELECT locks_holds(%s::bigint)", [str(self.key.id)])
            (held,) = cursor.fetchone() or (False,)
        if not held:
            raise loss(self.key, self.using)


def advisory_lock(
    namespace: int,
    key: int | str,
    timeout: Timeout = PATIENCE,
    scope: str = "transaction",
    using: str = DEFAULT_DB_ALIAS,
) -> AbstractContextManager[HeldLock]:
    """Enter the key's section, waiting for at most ``timeout`` (seconds or a timedelta; 0 never waits).

    Raises LockTimeout, LockDeadlock, LockReentered, NotInTransaction, StaleSnapshot, LockLost; TypeError and
    ValueError for a namespace, key, timeout or scope that cannot be. One statement.
    """
    _refuse_unknown(scope)
    return _Section(_Ask(LockKey(namespace, key), milliseconds(timeout), using))


def advisory_lock_or_skip(
    namespace: int, key: int | str, scope: str = "transaction", using: str = DEFAULT_DB_ALIAS
) -> AbstractContextManager[bool]:
    """Enter the key's section if nobody holds the key, else skip: the block runs either way and is told. Never waits.

    An open section of this connection counts as busy too. Raises as ``advisory_lock`` does, without LockTimeout and
    LockReentered.
    """
    _refuse_unknown(scope)
    return _SectionOrSkip(_Ask(LockKey(namespace, key), 0, using, refused_as="skips"))


def take(key: LockKey, timeout: Timeout = PATIENCE, using: str = DEFAULT_DB_ALIAS) -> HeldLock:
    """Enter the key's section until the innermost ``atomic`` block ends. One statement.

    Raises as ``advisory_lock`` does.
    """
    refuse_from_inside(connections[using], key)
    return _entered(_Ask(key, milliseconds(timeout), using))


class _Section(AbstractContextManager[HeldLock]):
    """One entry. It is no decorator: shared by calls, threads or coroutines it would protect none of them."""

    def __init__(self, ask: "_Ask") -> None:
        self._ask = ask
        self._entry: tuple[Sections, Block] | None = None

    def __enter__(self) -> HeldLock:
        connection = connections[self._ask.using]
        refuse_from_inside(connection, self._ask.key)
        held = _entered(self._ask)
        self._entry = sections_of(connection), begin_block(connection, self._ask.key)
        return held

    def __exit__(self, *error: object) -> None:
        if self._entry:
            sections, block = self._entry
            self._entry = None
            sections.leave(self._ask.key)
            end_block(block)


class _SectionOrSkip(AbstractContextManager[bool]):
    """The same, answering whether it was entered. What the block raises is the block's: nothing here surrounds it."""

    def __init__(self, ask: "_Ask") -> None:
        self._ask = ask
        self._section = _Section(ask)

    def __enter__(self) -> bool:
        try:
            self._section.__enter__()
        except Busy:
            return False
        except LockReentered:
            tally.add(self._ask.refused_as, self._ask.using)
            return False
        return True

    def __exit__(self, *error: object) -> None:
        self._section.__exit__(*error)


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is asked of the database."""

    key: LockKey
    patience_ms: int | None
    using: str
    refused_as: Kind = "timeouts"


def _entered(ask: _Ask) -> HeldLock:
    connection = connections[ask.using]
    require_transaction(connection, str(ask.key))
    sections = sections_of(connection)
    # Another thread that shares the connection must not ask between the answer and its entry in the register.
    with sections.mutex:
        answer, began_at = _answer(connection, ask)
        if answer in _REFUSALS:
            raise refusal(_REFUSALS[answer], ask.key, ask.using, ask.refused_as)
        sections.enter(connection, ask.key, answer, began_at)
    return HeldLock(ask.key, ask.using)


def _answer(connection: BaseDatabaseWrapper, ask: _Ask) -> tuple[str, datetime]:
    """Return the database's answer, and when the transaction began: by that it is told from the one before."""
    # The id as text: the literal of the smallest one is no bigint.
    question = (str(ask.key.id), ask.key.namespace, ask.patience_ms, current_label().text)
    with asking(ask.key, using=ask.using), connection.cursor() as cursor:
        cursor.execute("SELECT locks_ask(%s::bigint, %s, %s, %s), transaction_timestamp()", question)
        answer: tuple[str, datetime] = cursor.fetchone()
    return answer


def require_transaction(connection: BaseDatabaseWrapper, name: str) -> None:
    """Raise NotInTransaction where a lock would be gone before the next statement."""
    if not connection.in_atomic_block and connection.get_autocommit():
        raise NotInTransaction(f"{name} can only be locked inside a transaction (atomic): it is held until that ends")


def _refuse_unknown(scope: str) -> None:
    if scope not in SCOPES:
        raise ValueError(f"a lock's scope is one of {', '.join(map(repr, SCOPES))}, not {scope!r}")
