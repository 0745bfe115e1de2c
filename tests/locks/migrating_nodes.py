"""Nodes that migrate: processes of their own, on a database of their own."""

import os
import subprocess
import sys
import tempfile

import psycopg
from psycopg.conninfo import make_conninfo

from locks.migrating import KEY
from tests.house.sources import ROOT
from tests.locks.actors import PATIENCE, until
from tests.locks.gate import GATE

_MANAGE = "from django.core.management import execute_from_command_line as run; import sys; run(sys.argv)"
# Instead of trying: what others do.
WAITS_IN_A_STATEMENT = """
import locks.migrating as module
tried = "pg_try_advisory_lock(%s::bigint)"
assert tried in module._TRY
module._TRY = module._TRY.replace(tried, "pg_advisory_lock(%s::bigint)::text = ''")
"""


class Node:
    """One ``manage.py migrate``."""

    def __init__(self, url, *words, mutant="", **environment):
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the node
        self.process = subprocess.Popen(
            [sys.executable, "-c", mutant + _MANAGE, "migrate", *words],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.locks.gate.settings"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
        )

    @property
    def said(self):
        return os.pread(self._said.fileno(), 10**6, 0).decode()

    @property
    def code(self):
        """How it ended; waits for that."""
        return self.process.wait(PATIENCE * 3)

    def until_said(self, words):
        until(lambda: words in self.said or self.process.poll() is not None, words)
        assert words in self.said
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self._said.close()


class Database:
    """An empty database, and a connection to it that keeps the gate closed."""

    def __init__(self, params):
        self.name = f"migrating_{os.getpid()}"
        self._server = psycopg.connect(**params, autocommit=True)
        self._server.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        self._server.execute(f"CREATE DATABASE {self.name}")
        self._connection = psycopg.connect(make_conninfo(**params | {"dbname": self.name}), autocommit=True)
        self._connection.execute(f"SELECT pg_advisory_lock({GATE})")
        self.nodes = []

    @property
    def url(self):
        told = self._connection.info
        return f"postgresql://{told.user}:{told.password}@{told.host}:{told.port}/{self.name}"

    def migrate(self, *words, url="", **options):
        """Start a node that migrates the gate's app, or what the words say."""
        self.nodes.append(Node(url or self.url, *words or ["gate"], **options))
        return self.nodes[-1]

    def ask(self, sql, *params):
        return self._connection.execute(sql, params or None).fetchone()[0]

    def open_gate(self):
        assert self.ask(f"SELECT pg_advisory_unlock({GATE})")

    def until_waited_for(self, low_half, by=1):
        """Go on as soon as so many wait for an advisory lock (the lower half of its number)."""
        waiting = "SELECT count(*) FROM pg_locks WHERE objid::bigint = %s AND locktype = 'advisory' AND NOT granted"
        until(lambda: self.ask(waiting, low_half) == by, "the wait")

    def wait_for(self, low_half):
        """Return the session that waits for an advisory lock, and the one that it waits for."""
        (row,) = self._connection.execute(
            "SELECT pid, (pg_blocking_pids(pid))[1] FROM pg_locks"
            " WHERE objid::bigint = %s AND locktype = 'advisory' AND NOT granted",
            [low_half],
        ).fetchall()
        return row

    def until_blocked_by(self, pid, statement):
        """Go on as soon as somebody's statement (LIKE) waits for the session."""
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND %s = ANY (pg_blocking_pids(pid))"
        until(lambda: self.ask(waiting, statement, pid), "the wait for the session")

    def until_somebody_said(self, words):
        """Return who says it, as soon as anybody does."""
        return until(lambda: [node for node in self.nodes if words in node.said], words)

    def applied(self):
        """The migrations of the gate that are recorded, each as often as it is."""
        rows = self._connection.execute("SELECT name FROM django_migrations WHERE app = 'gate' ORDER BY id")
        return [name for (name,) in rows]

    def end_lock_session(self):
        """End the session that holds the migration lock, as a fail-over or a lost network does."""
        held = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = %s"
        assert self.ask(f"SELECT pg_terminate_backend(({held}), 10000)", KEY.id & 0xFFFFFFFF)

    def close(self):
        for node in self.nodes:
            node.close()
        self._connection.close()
        self._server.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
        self._server.close()
