"""Plays the stories of a fleet against a running server, one keep-alive connection and one thread per agent."""

import http.client
import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agents.demo.payloads import Payload
from agents.demo.script import Step, farewell, story

HOOK = "/hooks/claude-code"
TIMEOUT = 10
"""Seconds for one hook."""


class DemoError(Exception):
    """The server does not take the fleet's hooks; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the hooks go."""

    server: str
    token: str

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection; it is opened by the first hook."""
        address = urlsplit(self.server)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        return kind(address.hostname or "127.0.0.1", address.port, timeout=TIMEOUT)

    def send(self, connection: http.client.HTTPConnection, payload: Payload, headers: dict[str, str]) -> str:
        """Send one hook and return its outcome. Raises ``DemoError``."""
        try:
            response = self._answer(connection, payload, headers)
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"No Headspace answers at {self.server} ({error}). Start it with `make run`.") from error
        if response.status == 401:
            raise DemoError("The server does not know this token. `manage.py hosts list` shows the hosts.")
        if response.status >= 300:
            raise DemoError(f"The server answered {response.status} to a hook; its log tells why.")
        return response.getheader("X-Headspace-Outcome") or "none"

    def _answer(
        self, connection: http.client.HTTPConnection, payload: Payload, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        try:
            return self._exchange(connection, payload, headers)
        except (OSError, http.client.HTTPException):
            # A server may close a connection that was idle in the very moment in which it is used again.
            connection.close()
            return self._exchange(connection, payload, headers)

    def _exchange(
        self, connection: http.client.HTTPConnection, payload: Payload, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        own = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request("POST", HOOK, json.dumps(payload), own | headers)
        response = connection.getresponse()
        response.read()
        return response


@dataclass(slots=True)
class Fleet:
    """N agents that play their stories until told to stop."""

    target: Target
    agents: int
    seed: int
    speed: float
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    outcomes: Counter[str] = field(default_factory=Counter)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _trouble: list[DemoError] = field(default_factory=list)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def play(self, watch: Callable[["Fleet"], bool], keep: bool) -> None:
        """Play until ``watch`` (asked about once a second) says False; end the sessions unless they are kept.

        Raises ``DemoError`` when the server stops taking hooks.
        """
        threads = [
            threading.Thread(target=self._live, args=(number, keep), daemon=True) for number in range(self.agents)
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._stopping.wait(1) and watch(self):
                pass
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(TIMEOUT)
        if self._trouble:
            raise self._trouble[0]

    def _live(self, number: int, keep: bool) -> None:
        connection = self.target.connect()
        try:
            last = self._play_story(connection, number)
            if last and not keep:
                self._count(self.target.send(connection, farewell(last), {}))
        except DemoError as error:
            self._trouble.append(error)
            self._stopping.set()
        finally:
            connection.close()

    def _play_story(self, connection: http.client.HTTPConnection, number: int) -> Payload | None:
        """Play until stopped; return the last payload that was sent."""
        last: Payload | None = None
        for step in story(self.seed, number, self.run):
            if self._stopping.wait(step.wait / self.speed):
                break
            self._send(connection, step)
            last = step.payload
        return last

    def _send(self, connection: http.client.HTTPConnection, step: Step) -> None:
        if not step.is_lost:
            self._count(self.target.send(connection, step.payload, step.headers))

    def _count(self, outcome: str) -> None:
        with self._mutex:
            self.outcomes[outcome] += 1
