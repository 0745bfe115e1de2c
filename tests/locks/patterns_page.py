"""The page of patterns taken apart: its examples as functions, the costs that it names; and what a call costs."""

import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from unittest import mock

import psycopg
from django.db import connection, models
from psycopg.pq import Trace

from locks.dedicated import connections_for
from tests.bench.wire import Wire

PAGE = Path(__file__).resolve().parents[2] / "docs/official-docs/concurrency-patterns.md"
TEXT = PAGE.read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (\d+) (.+)$", re.MULTILINE)
COSTS = re.compile(r"^- \*\*Costs\*\* (\d+) statements?, (\d+) flush(?:es)?, (\d+) connections?\b", re.MULTILINE)
ROW = re.compile(r"^\| ([^|]+) \| \[([^|\]]+)\]\(#([^|)]+)\) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


class Claim(models.Model):
    """The table that the page's claim is in; a test makes it."""

    turn_id = models.BigIntegerField(unique=True)
    token = models.UUIDField(null=True)
    until = models.DateTimeField()

    class Meta:
        app_label = "patterns"
        managed = False
        db_table = "patterns_claim"

    def __str__(self):
        return f"turn {self.turn_id}"


@contextmanager
def claims():
    """Have the table for as long as the block takes."""
    with connection.schema_editor() as editor:
        editor.create_model(Claim)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Claim)


@dataclass(frozen=True)
class Pattern:
    """One section of the page."""

    name: str
    text: str

    @cached_property
    def code(self):
        (code,) = BLOCK.findall(self.text)
        return code

    @property
    def costs(self):
        """Statements, flushes, connections."""
        (found,) = COSTS.findall(self.text)
        return tuple(map(int, found))


def _patterns():
    pieces = HEADING.split(TEXT.partition("\n## Rules\n")[0])
    return [Pattern(f"{number} {name}", text) for number, name, text in zip(*[iter(pieces[1:])] * 3, strict=True)]


PATTERNS = _patterns()
SHARED = BLOCK.search(TEXT)[1]
"""The lines that the examples share."""


def examples(without="", instead=""):
    """Run all examples and return what they define; for a mutant ``without`` something that stands there once."""
    assert not without or TEXT.count(without) == 1, f"the page has {TEXT.count(without)} times: {without}"
    names = {"Claim": Claim}
    for code in (SHARED, *(pattern.code for pattern in PATTERNS)):
        exec(compile(code.replace(without, instead) if without else code, PAGE.name, "exec"), names)
    return SimpleNamespace(**names)


@dataclass
class Bill:
    """What a block cost, over all of this process's connections to the database."""

    statements: int = 0
    flushes: int = 0
    connections: int = 0
    """Those that were used beside the one that works."""
    opened: int = 0
    """Those of them that were new."""
    _taps: list = field(default_factory=list)

    @property
    def costs(self):
        return self.statements, self.flushes, self.connections

    def tap(self, raw):
        """Trace what the connection sends from now on."""
        trace = TemporaryFile("w+")  # noqa: SIM115 - closed when it was read
        raw.pgconn.trace(trace.fileno())
        raw.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        self._taps.append((raw, trace))
        close = raw.close
        # What is traced is written down before the connection goes.
        raw.close = lambda: (raw.pgconn.untrace(), close())
        return raw

    def add_up(self):
        for raw, trace in self._taps:
            if not raw.closed:
                raw.pgconn.untrace()
                del raw.close
            trace.seek(0)
            wire = Wire()
            wire.read(trace)
            trace.close()
            self.statements += wire.statements
            self.flushes += wire.flushes
            self.connections += raw is not connection.connection and wire.statements > 0


@contextmanager
def counted():
    """Yield the bill of the block, complete when it is over."""
    connection.ensure_connection()
    bill, connect = Bill(), psycopg.Connection.connect.__func__

    def opened(cls, *args, **kwargs):
        bill.opened += 1
        return bill.tap(connect(cls, *args, **kwargs))

    with ExitStack() as stack:
        stack.callback(bill.add_up)
        for raw in (connection.connection, *connections_for("default")._kept):
            bill.tap(raw)
        stack.enter_context(mock.patch.object(psycopg.Connection, "connect", classmethod(opened)))
        stack.enter_context(mock.patch.object(psycopg, "connect", psycopg.Connection.connect))
        yield bill
