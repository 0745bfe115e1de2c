"""A running Headspace: the web process of `manage.py up`, on the test database."""

import os
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from django.db import connection

from agents.hosts import add_host
from headspace.parents import end_with_parent
from headspace.programs import web
from tests.agents.replay import WITHIN, Door, eventually

CONNECTIONS = 36
"""To PostgreSQL: 8 threads for each of two workers, and the rest for others."""


@dataclass(frozen=True)
class Web:
    """Where it answers, and what it says."""

    port: int
    log: Path

    def said(self):
        return self.log.read_text(errors="replace")

    @contextmanager
    def door(self, host="one"):
        """Add a host and yield its door; what the web cannot explain is an error of the test."""
        before = len(self.said())
        yield Door(self.port, add_host(host)[1])
        said = self.said()[before:]
        assert "Traceback" not in said, said[-6000:]


def database_url(name=""):
    """Return the address of the test database, for sessions that call themselves so."""
    place = urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + connection.settings_dict["NAME"])
    return place._replace(query=name and f"application_name={name}").geturl()


def environment(name="", **more):
    """Return the environment of a process that works on the test database."""
    return os.environ | {"DATABASE_URL": database_url(name), **more}


def ask(sql, *params):
    """Return the one value that a statement yields, asked on a connection of its own."""
    with psycopg.connect(database_url(), autocommit=True) as watch:
        return watch.execute(sql, params).fetchone()[0]


def await_gone(name):
    """Wait until the server has noticed that a process is gone: a database that is in use cannot be dropped."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    eventually(lambda: ask(count, name) == 0)


@contextmanager
def serving(folder, **limits):
    """Yield the web, with limits of its own, by the names of their variables."""
    log, name = folder / "web.log", f"web-{folder.name}"
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening, log.open("wb") as output:
        program = web(listening.fileno(), CONNECTIONS)
        process = subprocess.Popen(
            program.command,
            env=environment(name, **limits),
            pass_fds=program.descriptors,
            stdout=output,
            stderr=output,
            preexec_fn=end_with_parent(),
        )
        try:
            # The socket listens already: the first hook waits in its queue until the workers are there.
            yield Web(listening.getsockname()[1], log)
        finally:
            process.terminate()
            process.wait(WITHIN)
            await_gone(name)
