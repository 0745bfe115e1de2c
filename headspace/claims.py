"""What one machine's programs need for themselves before any is started: a data directory, a port, a secret key."""

import errno
import fcntl
import os
import secrets
import socket
from pathlib import Path
from typing import TextIO

from headspace.env import env_text
from headspace.kept_file import keep_text, kept_text, make_data_directory

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to recognise them, not to listen there


class Refused(Exception):
    """Headspace cannot start here; the text is one line that says why and what to do."""


def claimed_directory(data: Path) -> TextIO:
    """Return the open lock of the data directory, which is ours until the file is closed or this process ends."""
    try:
        make_data_directory(data)
        lock = (data / "up.lock").open("a+")
    except OSError as error:
        raise Refused(f"The data directory {data} cannot be used: {error.strerror}.") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Refused(
            f"Headspace is already running on {data} (process {kept_text(data / 'up.lock')}). "
            "Stop it first, or choose another directory with --data."
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def claimed_port(host: str, port: int) -> socket.socket:
    """Return the socket that listens there. It stays open while the web is restarted: hooks wait, and are not lost."""
    if not 0 <= port <= 65535:
        raise Refused(f"There is no port {port}. Choose one up to 65535 with --port.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise Refused(_complaint(host, port, error)) from None
    # Here, because a connection has it from its listener, and the first ones come before the web is there.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _complaint(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program. Choose another one with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved for root. Choose one above 1023 with --port."
    return f"Headspace cannot listen on {host}: it is no address of this machine. Choose another one with --host."


def address(listener: socket.socket) -> tuple[str, int]:
    """Return a host and a port by which the socket is reached from this machine."""
    host, port = listener.getsockname()[:2]
    return _WILDCARDS.get(host, host), port


def keep_secret_key(data: Path) -> None:
    """Make the key that signs sessions, unless there is one or SECRET_KEY says it."""
    if not env_text("SECRET_KEY", "") and not kept_text(data / "secret-key"):
        keep_text(data / "secret-key", secrets.token_urlsafe(50))
