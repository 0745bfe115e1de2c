"""How long locks are waited for and held: counts by duration, added up over all processes."""

from bisect import bisect_left
from collections.abc import Iterator
from math import inf
from typing import Literal

What = Literal["wait", "hold"]
WHATS: tuple[What, ...] = ("wait", "hold")

BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, inf)
"""Seconds: the upper ends of what is counted together, each included."""
_SIZE = len(BOUNDS)

# Sorted, so that two writers meet the rows in one order and never in a circle.
WRITE = """
    INSERT INTO locks_timing AS known (namespace, what, bound, count, seconds)
    SELECT namespace, what, bound, count, seconds
    FROM jsonb_to_recordset(%s::jsonb)
        AS timed(namespace integer, what text, bound float8, count bigint, seconds float8)
    ORDER BY namespace, what, bound
    ON CONFLICT (namespace, what, bound) DO UPDATE SET
        count = known.count + excluded.count,
        seconds = known.seconds + excluded.seconds;
"""


class Timings:
    """Durations that are not yet in the table."""

    def __init__(self) -> None:
        # Namespace and what → how many in each bucket, then their seconds.
        self._cells: dict[tuple[int, What], list[float]] = {}
        self.longest_wait = 0.0
        self._given_up = 0.0

    def add(self, namespace: int, what: What, seconds: float) -> None:
        """Count one duration."""
        cell = self._cells.get((namespace, what))
        if cell is None:
            cell = self._cells[namespace, what] = [0] * _SIZE + [0.0] * _SIZE
        bucket = bisect_left(BOUNDS, seconds)
        cell[bucket] += 1
        cell[_SIZE + bucket] += seconds
        if seconds > self.longest_wait and what == "wait":
            self.longest_wait = seconds

    def give_up(self, seconds: float) -> None:
        """Note a wait that ended without the lock: it is in the minute's sum and not among the durations."""
        self._given_up += seconds
        self.longest_wait = max(self.longest_wait, seconds)

    def update(self, later: "Timings") -> None:
        """Add what another one has."""
        self._given_up += later._given_up
        self.longest_wait = max(self.longest_wait, later.longest_wait)
        for name, more in later._cells.items():
            known = self._cells.get(name, [0.0] * len(more))
            self._cells[name] = [one + other for one, other in zip(known, more, strict=True)]

    def waited_seconds(self) -> float:
        """Return how long all waits were together, whatever they ended with."""
        return self._given_up + sum(sum(cell[_SIZE:]) for (_, what), cell in self._cells.items() if what == "wait")

    def rows(self) -> list[dict[str, object]]:
        """Return what ``WRITE`` asks for."""
        return list(self._rows())

    def _rows(self) -> Iterator[dict[str, object]]:
        for (namespace, what), cell in self._cells.items():
            for bound, count, seconds in zip(BOUNDS, cell[:_SIZE], cell[_SIZE:], strict=True):
                if count:
                    # As text: JSON has no infinity.
                    found = {"namespace": namespace, "what": what, "bound": str(bound)}
                    yield found | {"count": int(count), "seconds": max(0.0, seconds)}
