"""What is asked of the database, and what it answers: the same for every scope, and in async code.

Pure but for the budget: a process looks at the server's lock table with one of its asks every ``LOOK_EVERY``, and with
each that is for many keys or the last of many.
"""

import json
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from locks.conf import conf
from locks.errors import BUSY, LockTableFull
from locks.holders import Holder, read_holders
from locks.keys import LockKey
from locks.labels import current_label

Scope = Literal["transaction", "session"]
SCOPES: tuple[Scope, ...] = ("transaction", "session")
ASK = "SELECT locks_ask(%s::bigint, %s, %s, %s, %s, %s, %s, %s)"
ASK_MANY = "SELECT locks_ask_many(%s::bigint[], %s::integer[], %s::text[], %s, %s, %s, %s, %s, %s::bigint[], %s)"
ASK_SESSION = """
    SELECT refusal, refused, holders, waited_ms, fence
    FROM locks_ask_session(%s::bigint[], %s::integer[], %s::text[], %s, %s, %s, %s, %s)
"""
_LOOK_AFTER = 50
"""Keys that a process asks for between two looks, however little time has passed."""


class _Budget:
    """When a process looks next at a server's lock table."""

    looked_at = -1e9
    asked_since = 0


_budgets: dict[str, _Budget] = defaultdict(_Budget)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: these keys, all or none."""

    keys: tuple[LockKey, ...]
    """Each once, in the order in which they are taken."""
    patience_ms: int | None
    """0 never waits, None waits as long as the session's own lock_timeout lets."""
    scope: Scope
    shared: bool
    using: str
    is_skipping: bool = False
    """Whether a refusal is a skip, of which nobody asks who was in the way."""

    def question(self, patience_ms: int | None, inside: Collection[int] = (), since: str = "") -> tuple[str, list[Any]]:
        """Return the statement that asks on the work connection, with the patience that is left.

        ``inside``: the ids whose sections are open since the transaction that began at ``since``.
        """
        if len(self.keys) > 1:
            return ASK_MANY, [*self.parameters(patience_ms), [str(known) for known in inside] or None, since]
        key = self.keys[0]
        # As text: the literal of the smallest id is no bigint.
        return ASK, [str(key.id), key.namespace, key.stored_name, *self._rest(patience_ms)]

    def parameters(self, patience_ms: int | None) -> list[Any]:
        """Return what the functions for many keys want."""
        names = [key.stored_name for key in self.keys]
        return [
            [str(key.id) for key in self.keys],
            [key.namespace for key in self.keys],
            names if any(names) else None,
            *self._rest(patience_ms),
        ]

    def _rest(self, patience_ms: int | None) -> tuple[Any, ...]:
        return (
            patience_ms,
            current_label().text,
            self.shared,
            _fullest(self.using, len(self.keys)),
            not self.is_skipping,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the database said."""

    waited: float
    """Seconds."""
    began_at: str = ""
    """When the transaction began: by that it is told from the one before."""
    again: frozenset[str] = frozenset()
    """The ids that the transaction held before."""
    refusal: str | None = None
    """The SQLSTATE of the refusal; None where all keys were taken."""
    refused: int = 1
    """Which of the keys was refused, counted from 1."""
    holders: tuple[Holder, ...] = ()

    @classmethod
    def read(cls, text: str) -> "Answer":
        """Return what ``locks_ask`` and ``locks_ask_many`` returned."""
        if text.startswith("{"):
            told = json.loads(text)
            holders = read_holders(told["holders"])
            return cls(told["waited_ms"] / 1000, refusal=told["refusal"], refused=told["refused"], holders=holders)
        waited_ms, began_at, *again = text.split()
        return cls(int(waited_ms) / 1000, began_at, frozenset(again))

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> "Answer":
        """Return what is in the first four columns of ``ASK_SESSION``."""
        refusal, refused, holders, waited_ms = row[:4]
        return cls(waited_ms / 1000, refusal=refusal, refused=refused or 1, holders=read_holders(holders))

    @property
    def is_busy(self) -> bool:
        """Whether somebody else holds it."""
        return self.refusal == BUSY


def in_order(keys: Sequence[LockKey]) -> tuple[LockKey, ...]:
    """Return each key once, the higher namespace first: who takes them in this order never waits in a circle.

    LockTableFull where they are more than ``MOST_KEYS``.
    """
    ordered = tuple(sorted(set(keys), key=attrgetter("place")))
    if len(ordered) > conf().most_keys:
        raise LockTableFull(f"{len(ordered)} keys are more than the {conf().most_keys} that may be asked for at once")
    return ordered


def _fullest(using: str, keys: int) -> float | None:
    """Return the share of the lock table that may be taken, where it is time to look; two threads may both look."""
    budget, now = _budgets[using], time.monotonic()
    budget.asked_since += keys
    if budget.asked_since < _LOOK_AFTER and now - budget.looked_at < conf().look_every.total_seconds():
        return None
    budget.looked_at, budget.asked_since = now, 0
    return conf().fullest
