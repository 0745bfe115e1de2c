"""Keeps the embedded PostgreSQL running while the programs do."""

import time
from pathlib import Path

from headspace.embedded_postgres import EmbeddedPostgres
from headspace.postgres_account import EmbeddedPostgresError
from headspace.supervisor import Say

_LOOK_EVERY = 2.0  # seconds


class PostgresKeeper:
    """Starts the server of a data directory, looks whether it is still there, and stops it."""

    def __init__(self, data: Path, say: Say) -> None:
        self._server = EmbeddedPostgres(data)
        self._say = say
        self._url = ""
        self._look_at = 0.0

    def start(self) -> None:
        """Start the server, or take over the one that an earlier run left. Raises EmbeddedPostgresError."""
        found = self._server.running()
        self._url = self._server.start()
        self._look_at = time.monotonic() + _LOOK_EVERY
        self._say("postgres", f"{'was already there' if found else 'runs'}, on port {self._server.files.port}")

    def moved(self) -> bool:
        """Start the server again if it is gone; say whether it has another address now. To be called often."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _LOOK_EVERY
        if self._server.running():
            return False
        self._say("postgres", "is gone: starts again")
        former = self._url
        try:
            self.start()
        except EmbeddedPostgresError as error:
            self._say("postgres", str(error))
        return self._url != former

    def stop(self) -> None:
        """Stop the server."""
        self._server.stop()
        self._say("postgres", "has stopped")
