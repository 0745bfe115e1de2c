"""Asks the web for a sign of life until it answers."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress

from headspace.claims import address
from headspace.supervisor import Supervisor

_ASK_AGAIN_AFTER = 0.5  # seconds
_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_ANSWER = b"HTTP/1.1 "


class Readiness:
    """Calls back once, when the listening socket's web answers.

    The socket listens before the web is there, so that one request just waits; it is made again if the web fails.
    """

    def __init__(self, listener: socket.socket, supervisor: Supervisor, ready: Callable[[], None]) -> None:
        self._address = address(listener)
        self._supervisor = supervisor
        self._ready = ready
        self._question: socket.socket | None = None
        self._ask_at = 0.0
        self._answered = False

    def ask(self) -> None:
        """Ask if nobody has been asked yet; to be called again and again."""
        if self._answered or self._question or time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + _ASK_AGAIN_AFTER
        with suppress(OSError):
            self._question = socket.create_connection(self._address, timeout=1)
            self._question.sendall(_REQUEST)
            self._supervisor.watch(self._question, self._hear)

    def close(self) -> None:
        """Stop asking."""
        if self._question:
            self._supervisor.unwatch(self._question)
            self._question.close()
            self._question = None

    def _hear(self) -> None:
        answer = self._received()
        self.close()
        self._ask_at = time.monotonic() + _ASK_AGAIN_AFTER
        # Whatever it thinks of our question: it is there. Only its own failure is none.
        if answer.startswith(_ANSWER) and not answer.startswith(_ANSWER + b"5"):
            self._answered = True
            self._ready()

    def _received(self) -> bytes:
        try:
            return self._question.recv(64) if self._question else b""
        except OSError:
            return b""
