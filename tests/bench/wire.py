"""What passes between a connection and PostgreSQL, counted from the driver's own trace of the messages."""

import contextlib
import re
import sys
import tempfile

from psycopg.pq import Trace

TRACEABLE = sys.platform == "linux"
"""The driver writes its trace on Linux alone."""

# Who sent it (F: the client), its length, its name, and what is in it.
MESSAGE = re.compile(r"([FB])\t(?:\d+|NN)\t(\w+)\t?(.*)")


class Wire:
    """Counts of what a traced block sent, complete when the block is over."""

    def __init__(self):
        self.statements = 0
        """Commands that the server completed, BEGIN and COMMIT among them."""
        self.flushes = 0
        """How often the client sent something and then waited for the answer."""
        self.commits = 0
        """Transactions that ended well, be it of a single statement."""
        self._sender = "B"
        self._last_command = ""

    @property
    def counts(self):
        return {"statements": self.statements, "flushes": self.flushes, "commits": self.commits}

    def read(self, lines):
        """Count the messages of a trace."""
        for message in filter(None, map(MESSAGE.match, lines)):
            sender, name, content = message.groups()
            self.flushes += (self._sender, sender) == ("B", "F")
            self._sender = sender
            self._count(name, content)

    def _count(self, name, content):
        if name == "CommandComplete":
            self.statements += 1
            self._last_command = content.strip(' "')
        elif name == "ErrorResponse":
            self._last_command = "ROLLBACK"
        elif name == "ReadyForQuery" and content.strip() == "I":
            self.commits += self._last_command not in ("", "ROLLBACK")
            self._last_command = ""


@contextlib.contextmanager
def counted(connection):
    """Yield the counts of what the block sends over a Django connection."""
    connection.ensure_connection()
    wire, raw = Wire(), connection.connection
    with tempfile.TemporaryFile("w+") as trace:
        raw.pgconn.trace(trace.fileno())
        raw.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield wire
        finally:
            raw.pgconn.untrace()
        assert connection.connection is raw, "the block went on with another connection, which was not traced"
        trace.seek(0)
        wire.read(trace)
