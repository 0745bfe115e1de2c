"""An embedded PostgreSQL 18 for one data directory: started, found again after a crash, and stopped."""

import re
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from headspace.kept_file import keep_text
from headspace.parents import end_with_parent
from headspace.postgres_account import (
    EmbeddedPostgresError,
    packaged_programs,
    reachable_programs,
    server_environment,
)
from headspace.postgres_files import DATABASE, PostgresFiles

_START_WITHIN = 120.0  # seconds; recovery after a crash may take most of it
_RETRY_WITHIN = 30.0  # seconds
_LOOK_EVERY = 0.05  # seconds

# What ends by itself: backends of a killed server that are still finishing, and a port that was taken since we looked.
_PASSING = re.compile("shared memory block|could not create any TCP/IP sockets")

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_lock_waits": "on",
    # A client that went away gives its locks back at once, one that fell asleep inside a transaction after a minute.
    "client_connection_check_interval": "1s",
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",  # our statements are short: compiling them takes longer than running them
}
_SETTINGS_OF_A_THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """The PostgreSQL server of a data directory; several processes may call every method at once.

    A server that is not ``durable`` is fast, loses everything in a crash of the machine, and ends with its starter.
    """

    def __init__(self, data: Path, *, durable: bool = True) -> None:
        self.files = PostgresFiles(data)
        self._durable = durable
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Return the URL of the database, after starting whatever is not there yet.

        A server that is already up is taken over. The URL is also kept in ``<data>/database-url``.
        Raises EmbeddedPostgresError.
        """
        with self.files.alone():
            if not self.running():
                self._launch(self.files.prepare(durable=self._durable))
            self._await_ready()
            self._create_database()
            url = self.files.url(DATABASE)
            keep_text(self.files.kept_url, url)
            return url

    def stop(self) -> None:
        """Stop the server, whoever started it; open transactions are rolled back."""
        with self.files.alone():
            if self.running():
                account = self.files.account
                command: list[str | Path] = [reachable_programs(account, self.files.home) / "pg_ctl", "stop"]
                command += ["-D", self.files.cluster, "-m", "fast" if self._durable else "immediate", "-t", "60"]
                account.demand(command, "PostgreSQL did not stop")
            if self._server:
                self._server.wait()
                self._server = None

    def running(self) -> bool:
        """Say whether the server answers at its private socket, be it only that it is still starting."""
        # A process id proves nothing: it may be of a zombie, or of a stranger since the last boot.
        return self._answer() in (0, 1)

    def _answer(self) -> int:
        """Return pg_isready's: 0 accepting, 1 starting or stopping, 2 nobody there."""
        if not self.files.port:
            return 2
        command: list[str | Path] = [packaged_programs() / "pg_isready", "-q", "-t", "3"]
        command += ["-h", self.files.socket_directory, "-p", str(self.files.port)]
        environment = server_environment()
        return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode

    def _await_ready(self) -> None:
        give_up_at = time.monotonic() + _START_WITHIN
        while self._answer() != 0:
            if time.monotonic() > give_up_at:
                raise EmbeddedPostgresError(f"PostgreSQL is still not ready: see {self.files.log}.")
            time.sleep(_LOOK_EVERY)

    def _launch(self, programs: Path) -> None:
        give_up_at = time.monotonic() + _RETRY_WITHIN
        while reason := self._failed_attempt(programs):
            if time.monotonic() > give_up_at or not _PASSING.search(reason):
                raise EmbeddedPostgresError(f"PostgreSQL did not start. {self.files.log} ends with:\n{reason}")
            time.sleep(_LOOK_EVERY)

    def _failed_attempt(self, programs: Path) -> str:
        """Return what the server said last when it ended while it was starting, or nothing when it is up."""
        self.files.keep_free_port()
        if self._server:
            self._server.poll()  # what was killed is waited for, or it would stay as a zombie
        with self.files.opened_log() as log:
            begin = log.tell()
            self._server = self._spawned(programs, log.fileno())
        while self._answer() == 2:
            if self._server.poll() is not None:
                return _text_from(self.files.log, begin)[-2000:].strip() or "(nothing)"
            time.sleep(_LOOK_EVERY)
        return ""

    def _spawned(self, programs: Path, log: int) -> subprocess.Popen[bytes]:
        # The kept process id may be a stranger's by now. PostgreSQL ignores it when told that it is an ancestor's, and
        # still looks whether the cluster's shared memory is in use; removing the file would remove that safeguard.
        environment = server_environment() | {"PG_GRANDPARENT_PID": self.files.stale_process()}
        return subprocess.Popen(
            self._command(programs),
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for our starter, not for the database
            preexec_fn=None if self._durable else end_with_parent(signal.SIGQUIT),
            **self.files.account.options(),
        )

    def _command(self, programs: Path) -> list[str | Path]:
        settings = _SETTINGS | ({} if self._durable else _SETTINGS_OF_A_THROWAWAY)
        settings |= {"port": str(self.files.port), "unix_socket_directories": str(self.files.socket_directory)}
        command: list[str | Path] = [programs / "postgres", "-D", self.files.cluster]
        return command + [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]

    def _create_database(self) -> None:
        with psycopg.connect(self.files.url("postgres"), autocommit=True) as connection:
            found = connection.execute("select 1 from pg_database where datname = %s", [DATABASE])
            if not found.fetchone():
                connection.execute(f'create database "{DATABASE}"')


def _text_from(path: Path, position: int) -> str:
    with path.open("rb") as file:
        file.seek(position)
        return file.read().decode(errors="replace")
