"""Where a benchmark happens: a PostgreSQL of its own, as durable as in production, and all of Headspace beside it."""

import contextlib
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from headspace.embedded_postgres import EmbeddedPostgres
from headspace.env import child_environment
from headspace.parents import end_with_parent
from tests.bench.requests import Conversation, Door

PROJECT = Path(__file__).resolve().parent.parent.parent
WITHIN = 60  # seconds


class Place:
    """A database of its own, and Headspace on it while it runs."""

    def __init__(self, server):
        self.url = server.start()
        self._server = server
        self._data = server.files.data
        self._log = self._data / "up.log"
        # Headspace neither starts nor stops a database that is named to it: here it is there before and after.
        self._environment = child_environment()
        self._environment |= {"DATABASE_URL": self.url, "HEADSPACE_DATA": str(self._data), "LOG_LEVEL": "WARNING"}
        report = json.loads(self.output_of([PROJECT / "manage.py", "prepare", "--json"]))
        self.door = Door(_free_port(), report["host"]["token"])

    def output_of(self, arguments, said=None, within=120):
        """Return what a Python program of the project writes; its input is ``said``. It has so many seconds."""
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=self._environment,
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
        )
        if done.returncode:
            raise RuntimeError(f"{arguments} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout

    def ask(self, sql, params=()):
        """Return the one value that a statement yields."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql, params).fetchone()[0]

    @property
    def postgres(self):
        """The process id of the database server."""
        return int((self._server.files.cluster / "postmaster.pid").read_text().partition("\n")[0])

    def await_fact(self, fact, what):
        """Wait until the function returns something true."""
        give_up_at = time.monotonic() + WITHIN
        while not fact():
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"{what} did not happen within {WITHIN} s:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.1)

    @contextlib.contextmanager
    def running(self):
        """Run Headspace as ``manage.py up`` does, and yield the process."""
        command = [sys.executable, PROJECT / "manage.py", "up"]
        command += ["--data", self._data, "--port", str(self.door.port)]
        with self._log.open("a") as log:
            bond = end_with_parent(signal.SIGTERM)
            process = subprocess.Popen(
                command, cwd=PROJECT, env=self._environment, stdout=log, stderr=log, preexec_fn=bond
            )
        try:
            self.await_fact(lambda: process.poll() is not None or self._answers(), "the first answer")
            yield process
        finally:
            process.terminate()
            process.wait(WITHIN)

    @contextlib.contextmanager
    def running_floor(self):
        """Run a web that does nothing (``floor.py``) and yield its port."""
        with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
            command = [sys.executable, "-m", "gunicorn", "--config", "python:headspace.web"]
            command += ["--bind", f"fd://{listener.fileno()}", "tests.bench.floor:application"]
            descriptors = [listener.fileno()]
            bond = end_with_parent()
            process = subprocess.Popen(
                command, cwd=PROJECT, env=self._environment, pass_fds=descriptors, preexec_fn=bond
            )
            try:
                yield listener.getsockname()[1]
            finally:
                process.terminate()
                process.wait(WITHIN)

    def _answers(self):
        try:
            with self._connection() as connection:
                connection.request("GET", "/hook/status", headers={"Authorization": f"Bearer {self.door.token}"})
                return connection.getresponse().status == 200
        except OSError:
            return False

    @contextlib.contextmanager
    def _connection(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=WITHIN)
        with contextlib.closing(connection):
            yield connection

    def populate(self, count):
        """Return so many agents, made by their own hooks, with a command under way; their ids follow each other."""
        agents = [Conversation.new() for _ in range(count)]
        with self._connection() as connection:
            for agent in agents:
                self._tell(connection, agent.payload("session-start"))
                self._tell(connection, agent.payload("user-prompt-submit"))
                self._tell(connection, agent.payload("pre-tool-use.read", tool_use_id=f"toolu_{agent.session_id}"))
        return agents

    def _tell(self, connection, payload):
        head = {"Authorization": f"Bearer {self.door.token}", "Content-Type": "application/json"}
        connection.request("POST", "/hooks/claude-code", json.dumps(payload).encode(), head)
        answer = connection.getresponse()
        seen = answer.status, answer.headers["X-Headspace-Outcome"], answer.read()
        if seen != (204, "applied", b""):
            raise RuntimeError(f"a hook was answered with {seen}")


@contextlib.contextmanager
def place():
    """Yield a place; nothing of it is left afterwards."""
    data = Path(tempfile.mkdtemp(prefix="headspace-bench-"))
    data.chmod(0o711)
    server = EmbeddedPostgres(data)
    try:
        yield Place(server)
    finally:
        server.stop()
        shutil.rmtree(data)


def _free_port():
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return candidate.getsockname()[1]
