"""A real Headspace for the real client: the web process of `manage.py up`, on the test database."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection

from headspace.programs import web

START_WITHIN = 120  # seconds
ASK = "import sys, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(sys.argv[1]).read()"


def _database_url() -> str:
    """Return the address of the test database."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + connection.settings_dict["NAME"]).geturl()


def _await_answer(url: str, prefix: list[str], log: Path) -> None:
    """Wait until it answers: the socket listens from the start, so one request waits in its queue for a worker."""
    command = [*prefix, sys.executable, "-I", "-c", ASK, f"{url}/health/live"]
    asked = subprocess.run(command, stderr=subprocess.DEVNULL, timeout=START_WITHIN, check=False)
    assert asked.returncode == 0, f"Headspace does not run:\n{log.read_text()}"


@contextmanager
def headspace_on(listening: socket.socket, prefix: list[str], log: Path) -> Iterator[str]:
    """Serve Headspace on a listening socket; yields its address when it answers. What it says goes into the log.

    ``prefix`` puts a command into the network of the socket.
    """
    program = web(listening.fileno(), connections=100)
    environment = {**os.environ, "DATABASE_URL": _database_url()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            program.command, env=environment, pass_fds=program.descriptors, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        _await_answer(url, prefix, log)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
