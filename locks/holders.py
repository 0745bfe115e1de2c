"""Who held a lock when somebody else was refused: what PostgreSQL's ``locks_holders`` says, as values."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from locks.labels import Label


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that holds a lock."""

    pid: int | None
    """None for a prepared transaction."""
    label: Label
    held_seconds: float | None
    """None where the lock was not taken through us: nobody noted when."""

    @classmethod
    def read(cls, row: dict[str, Any]) -> Self:
        """Return one element of ``locks_holders``."""
        name = row["label"] or "unknown"
        return cls(row["pid"], Label.read(name) or Label(name), row["held_seconds"])

    def __str__(self) -> str:
        since = "" if self.held_seconds is None else f" for {self.held_seconds:.2f} s"
        correlation = f", {self.label.correlation_id}" if self.label.correlation_id else ""
        return f"{self.label.holder} (pid {self.pid or 'none, prepared'}{correlation}){since}"


def read_holders(found: str | list[dict[str, Any]] | None) -> tuple[Holder, ...]:
    """Return the holders that the database named, as an array or as its text; none where it named none."""
    rows = json.loads(found) if isinstance(found, str) and found.startswith("[") else found
    return tuple(Holder.read(row) for row in rows) if isinstance(rows, list) else ()


def held_by(holders: Iterable[Holder]) -> str:
    """Return the holders in words; nobody is named where they have let go by now."""
    return " and ".join(map(str, holders)) or "nobody any more"
