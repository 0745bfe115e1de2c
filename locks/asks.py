"""What is asked of the database, and what it answers: the same for every scope, and in async code.

Pure but for the budget: a process looks at the server's lock table with one of its asks every ``LOOK_EVERY``.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from locks.conf import conf
from locks.errors import BUSY, LockTableFull
from locks.holders import Holder, read_holders
from locks.keys import LockKey
from locks.labels import current_label

Scope = Literal["transaction", "session"]
SCOPES: tuple[Scope, ...] = ("transaction", "session")
ASK = """
    SELECT refusal, refused, holders, waited_ms, again, transaction_timestamp()
    FROM locks_ask(%s::bigint[], %s::integer[], %s::text[], %s::integer, %s, %s, %s::float8, %s)
"""
ASK_SESSION = """
    SELECT refusal, refused, holders, waited_ms, fence
    FROM locks_ask_session(%s::bigint[], %s::integer[], %s::text[], %s::integer, %s, %s, %s::float8, %s)
"""
_looked_at: dict[str, float] = {}


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

    def parameters(self, patience_ms: int | None) -> list[Any]:
        """Return what the database function wants, with the patience that is left."""
        return [
            # As text: the literal of the smallest id is no bigint.
            [str(key.id) for key in self.keys],
            [key.namespace for key in self.keys],
            [key.stored_name for key in self.keys],
            patience_ms,
            current_label().text,
            self.shared,
            _fullest(self.using),
            not self.is_skipping,
        ]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the database said."""

    refusal: str | None
    """The SQLSTATE of the refusal; None where all keys were taken."""
    refused: LockKey
    """Which of the keys was refused; the first one where none was."""
    holders: tuple[Holder, ...]
    waited: float
    """Seconds."""

    @classmethod
    def read(cls, ask: Ask, row: Sequence[Any]) -> "Answer":
        """Return the answer in the first four columns of ``ASK`` and ``ASK_SESSION``."""
        refusal, refused, holders, waited_ms = row[:4]
        return cls(refusal, ask.keys[(refused or 1) - 1], read_holders(holders), waited_ms / 1000)

    @property
    def is_busy(self) -> bool:
        """Whether somebody else holds it."""
        return self.refusal == BUSY


def in_order(keys: Sequence[LockKey]) -> tuple[LockKey, ...]:
    """Return each key once, the higher namespace first: who takes them in this order never waits in a circle.

    LockTableFull where they are more than ``MOST_KEYS``.
    """
    ordered = tuple(sorted(set(keys)))
    if len(ordered) > conf().most_keys:
        raise LockTableFull(f"{len(ordered)} keys are more than the {conf().most_keys} that may be asked for at once")
    return ordered


def _fullest(using: str) -> float | None:
    """Return the share of the lock table that may be taken, where it is time to look; two threads may both look."""
    now = time.monotonic()
    if now - _looked_at.get(using, -1e9) < conf().look_every.total_seconds():
        return None
    _looked_at[using] = now
    return conf().fullest
