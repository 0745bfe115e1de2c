"""All of Headspace on one machine: claims its place, starts PostgreSQL, prepares it, runs the programs, stops all."""

import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from django.conf import settings

from headspace.claims import Refused, address, claimed_directory, claimed_port, keep_secret_key
from headspace.env import child_environment, env_text
from headspace.greeting import Greeting
from headspace.parents import end_with_parent
from headspace.postgres_account import EmbeddedPostgresError
from headspace.postgres_keeper import PostgresKeeper
from headspace.programs import manage, programs
from headspace.readiness import Readiness
from headspace.stops import Stops
from headspace.supervisor import Supervisor

_LOOPBACK = {"127.0.0.1", "::1"}
_NAME_WIDTH = 8
_LOOK_EVERY = 0.1  # seconds


class Standalone:
    """One machine's Headspace, in the foreground.

    What works with the database is a process of its own: the settings of this one were read before the data directory
    was there.
    """

    def __init__(self, data: Path, host: str, port: int, write: Callable[[str], object]) -> None:
        self._data = data.expanduser().absolute()
        self._host = host
        self._port = port
        self._write = write
        self._stops = Stops()
        self._untold: Greeting | None = None

    def run(self) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP. Raises Refused where it cannot start."""
        with ExitStack() as stack:
            stack.enter_context(claimed_directory(self._data))
            listener = stack.enter_context(claimed_port(self._host, self._port))
            stack.enter_context(self._stops)
            try:
                self._start(stack, listener)
            except EmbeddedPostgresError as error:
                raise Refused(str(error)) from None
            finally:
                self._tell_what_is_told_once()

    def _start(self, stack: ExitStack, listener: socket.socket) -> None:
        self._say("up", f"starts, with its files in {self._data}")
        if listener.getsockname()[0] not in _LOOPBACK:
            self._say("up", f"answers to these names alone (ALLOWED_HOSTS): {', '.join(settings.ALLOWED_HOSTS)}")
        keep_secret_key(self._data)
        postgres = None if env_text("DATABASE_URL", "") else PostgresKeeper(self._data, self._say)
        if postgres:
            stack.callback(postgres.stop)
            postgres.start()
        environment = self._environment(listener)
        report = {} if self._stops.asked else self._prepared(environment)
        if not report:
            return self._say("up", "stops before it is ready")
        self._untold = self._greeting(listener, report)
        supervisor = Supervisor(programs(listener.fileno(), report["connections"]), self._say, environment)
        self._supervise(supervisor, listener, postgres)

    def _supervise(self, supervisor: Supervisor, listener: socket.socket, postgres: PostgresKeeper | None) -> None:
        readiness = Readiness(listener, supervisor, self._greet)

        def chore() -> None:
            readiness.ask()
            if postgres and postgres.moved():
                supervisor.kill_all()

        def farewell() -> None:
            self._say("up", "stops")
            readiness.close()
            listener.close()  # or clients would go on coming, and wait for nobody

        supervisor.run(self._stops, chore, farewell)

    def _environment(self, listener: socket.socket) -> dict[str, str]:
        return {
            "HEADSPACE_DATA": str(self._data),
            "HEADSPACE_HOST": self._host,
            "HEADSPACE_PORT": str(address(listener)[1]),
            "PYTHONUNBUFFERED": "1",
        }

    def _prepared(self, environment: dict[str, str]) -> dict[str, Any]:
        """Return the report of ``manage.py prepare``; it is empty if we are asked twice to stop meanwhile."""
        with TemporaryFile("w+") as report, TemporaryFile("w+") as complaints:
            command = subprocess.Popen(
                manage("prepare", "--json"),
                env=child_environment() | environment,
                stdin=subprocess.DEVNULL,
                stdout=report,
                stderr=complaints,
                start_new_session=True,
                preexec_fn=end_with_parent(),
            )
            self._await(command)
            for line in _all_of(complaints).splitlines():
                self._say("prepare", line)
            if command.returncode and not self._stops.urgent:
                raise Refused("The database could not be prepared, as said above.")
            made: dict[str, Any] = json.loads(_all_of(report) or "{}")
            return made

    def _await(self, command: subprocess.Popen[bytes]) -> None:
        # Also when we are to stop: it may just have made the password that nobody could tell then.
        while command.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                command.wait(_LOOK_EVERY)
            if self._stops.urgent:
                command.kill()

    def _greeting(self, listener: socket.socket, report: dict[str, Any]) -> Greeting:
        host, port = address(listener)
        return Greeting(
            url=f"http://{f'[{host}]' if ':' in host else host}:{port}",
            operator=report["operator"]["name"],
            password=report["operator"]["password"],
            host=report["host"]["name"],
            token=report["host"]["token"],
            data=None if self._data == settings.DATA_DIR else self._data,
        )

    def _greet(self) -> None:
        if self._untold:
            self._write(self._untold.text())
        self._untold = None

    def _tell_what_is_told_once(self) -> None:
        # The next start could not tell it any more.
        if self._untold and (self._untold.password or self._untold.token):
            self._write(self._untold.access())

    def _say(self, name: str, line: str) -> None:
        self._write(f"{name:<{_NAME_WIDTH}} | {line}")


def _all_of(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
