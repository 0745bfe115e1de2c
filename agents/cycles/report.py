"""What one pass of a cycle did."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Report:
    """The counts of one pass; what the log line, the command's output and the tests read."""

    cycle: str
    began_at: datetime
    judged: int = 0
    """How many candidates were looked at under their lock."""
    skipped: int = 0
    """How many were busy: their turn comes with a later pass."""
    failed: int = 0
    """How many could not be finished; the log says why, and the others were not held up."""
    done: dict[str, int] = field(default_factory=dict)
    """What was done: word → how often."""

    def __str__(self) -> str:
        words = [f"{word}={count}" for word, count in self.done.items()]
        return " ".join(
            [f"{self.cycle}:", f"judged={self.judged}", f"skipped={self.skipped}", f"failed={self.failed}", *words]
        )

    def as_row(self) -> dict[str, object]:
        """Return the report for machines."""
        return asdict(self) | {"began_at": self.began_at.isoformat()}


def tallied(words: Iterable[str]) -> dict[str, int]:
    """Return how often each word was said; the empty word means that nothing was done."""
    counts: dict[str, int] = {}
    for word in filter(None, words):
        counts[word] = counts.get(word, 0) + 1
    return counts
