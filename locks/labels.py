"""Who asks for a lock: a label that the database shows beside it (``application_name``)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Self

# PostgreSQL cuts an application_name at 63 bytes and replaces what is not printable ASCII.
_LONGEST = 63
_PREFIX = "lock: "
_SEPARATOR = " #"
# A UUID with its dashes fits.
_LONGEST_ID = 36


@dataclass(frozen=True, slots=True)
class Label:
    """The holder in words ("hook pre-tool-use", "cycle reap") and the id that its log lines carry."""

    holder: str
    correlation_id: str = ""

    @property
    def text(self) -> str:
        """Return the label as an application_name of at most 63 printable ASCII characters; the holder is cut first."""
        return _text(self.holder, self.correlation_id)

    @classmethod
    def read(cls, application_name: str) -> Self | None:
        """Return the label that a session's application_name carries, or None where it carries none."""
        if not application_name.startswith(_PREFIX):
            return None
        holder, separator, correlation_id = application_name.removeprefix(_PREFIX).rpartition(_SEPARATOR)
        return cls(holder, correlation_id) if separator else None


_current: ContextVar[Label | None] = ContextVar("label", default=None)


@contextmanager
def labelled(holder: str, correlation_id: str = "") -> Iterator[Label]:
    """Let every lock asked for inside carry this label: in this thread, or in this task and those that it starts."""
    label = Label(holder, correlation_id)
    token = _current.set(label)
    try:
        yield label
    finally:
        _current.reset(token)


def current_label() -> Label:
    """Return the label in force: the innermost ``labelled``, else the name of the running program."""
    return _current.get() or _program()


@cache
def _program() -> Label:
    words = [Path(sys.argv[0]).name or "python", *sys.argv[1:2]]
    return Label(" ".join(word for word in words if not word.startswith("-")))


@lru_cache(maxsize=256)
def _text(holder: str, correlation_id: str) -> str:
    end = _SEPARATOR + _printable(correlation_id).replace(" ", "-").replace("#", "-")[:_LONGEST_ID]
    room = _LONGEST - len(_PREFIX) - len(end)
    return _PREFIX + _printable(holder)[:room] + end


def _printable(text: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)
