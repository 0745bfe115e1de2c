"""PostgreSQL servers that a test may stop, kill, start again and configure as it likes."""

import os
import signal
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from headspace.postgres_account import reachable_programs
from tests.servers.processes import free_port, home, spawned, wait_until

ROLE = "headspace"
DATABASE = "headspace"
PASSWORD = "only-for-tests"
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")

USUAL = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 200,
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_lock_waits": "on",
    "client_connection_check_interval": "1s",
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",
    "fsync": "off",
    "full_page_writes": "off",
}
"""As Headspace sets its own, but careless about a crash of the machine; a server that is killed loses nothing."""


class Server:
    """One PostgreSQL server on 127.0.0.1; its port stays the same over restarts."""

    def __init__(self, place, account, programs, settings):
        self.cluster = place / "cluster"
        self.log = place / "log"
        self.account = account
        self.programs = programs
        self.settings = USUAL | {"unix_socket_directories": ""} | settings
        self.port = free_port()
        self.process = None

    def url(self, database=DATABASE):
        """The address with the password of a superuser; there are the databases ``headspace`` and ``postgres``."""
        return f"postgresql://{ROLE}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def connect(self, database=DATABASE, **params):
        """A new psycopg connection in autocommit mode."""
        return psycopg.connect(self.url(database), **{"autocommit": True, "connect_timeout": 10} | params)

    def ask(self, sql, *params):
        """The first column of the first row, asked on a connection of its own."""
        with self.connect() as connection:
            return connection.execute(sql, params or None).fetchone()[0]

    def do(self, sql, *params):
        """Execute on a connection of its own that commits each statement."""
        with self.connect() as connection:
            connection.execute(sql, params or None)

    def start(self, **settings):
        """Start, or start again, and return as soon as it takes connections; settings are added to those it had."""
        self.settings |= settings
        words = [text for name, value in self.settings.items() for text in ("-c", f"{name}={value}")]
        command = [self.programs / "postgres", "-D", self.cluster, "-p", self.port, *words]
        self.process = spawned(command, self.account, self.log)
        wait_until(self.answers, "PostgreSQL's start", self.process, self.log)

    def stop(self, mode="immediate"):
        """Stop: ``immediate`` (as in a crash; backends end at once), ``fast``, or ``smart``."""
        number = {"immediate": signal.SIGQUIT, "fast": signal.SIGINT, "smart": signal.SIGTERM}[mode]
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait()

    def kill(self):
        """Kill the postmaster and every backend with SIGKILL, as the loss of the machine does."""
        victims = self._signal_all(signal.SIGKILL)
        self.process.wait()
        # What is left is a zombie of ours or nobody's; PostgreSQL would not start beside a living one.
        wait_until(lambda: not any(_lives(pid) for pid in victims), "the end of the backends")

    def freeze(self):
        """Stop the postmaster and every backend in their tracks (SIGSTOP): connections stay, nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        """Let a frozen server go on."""
        self._signal_all(signal.SIGCONT)

    def promote(self):
        """Make a standby a primary; return when it takes writes."""
        self.ask("SELECT pg_promote(true, 60)")

    def answers(self):
        try:
            self.connect("postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _signal_all(self, number):
        """Send the signal to the postmaster, then to its children; return their process ids."""
        main = self.process.pid
        if self.process.poll() is not None:
            return []
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        everybody = [main, *map(int, children)]
        for pid in everybody:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return everybody

    def make_cluster(self):
        """Make the server's files."""
        password = self.cluster.with_name("password")
        password.write_text(PASSWORD)
        self.account.own(password)
        command = [self.programs / "initdb", "-D", self.cluster, "-U", ROLE, f"--pwfile={password}", "--no-sync"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        self.account.demand(command, "initdb failed")

    def make_database(self):
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")


@contextmanager
def restartable(**settings):
    """PostgreSQL 18 that the test may ``stop()``, ``kill()`` and ``start()``; settings by name, as in its own file."""
    with _server(None, settings) as server:
        yield server


@contextmanager
def debian_postgres(**settings):
    """PostgreSQL 15 of Debian; the test is skipped where it is not installed (as root ``make`` installs it)."""
    if not (DEBIAN_15 / "postgres").exists():
        pytest.skip("Debian's PostgreSQL 15 is not installed (apt install postgresql-15)")
    with _server(DEBIAN_15, settings) as server:
        yield server


@contextmanager
def _server(programs, settings):
    with home() as (place, account):
        server = Server(place, account, programs or reachable_programs(account, place), settings)
        server.make_cluster()
        with running(server):
            server.make_database()
            yield server


@contextmanager
def running(server):
    """Start the server, and stop it afterwards if the test has not."""
    server.start()
    try:
        yield server
    finally:
        server.thaw()
        server.stop()


def _lives(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
