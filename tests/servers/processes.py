"""What servers have in common: a directory of their own, a port, an account that is not root, a wait for readiness."""

import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from headspace.parents import end_with_parent
from headspace.postgres_account import Account, server_environment

WITHIN = 60.0
"""Seconds after which a server that is not there counts as never coming."""

_LOOK_EVERY = 0.01
# Below those that the kernel gives to whoever connects: a server that restarts finds its port free.
_PORTS = range(20_000, 32_000)


@contextmanager
def home():
    """A directory that the servers' account can reach and fill, and that account."""
    directory = Path(tempfile.mkdtemp(prefix="headspace-server-"))
    directory.chmod(0o711)
    account = Account.for_home(directory / "none")
    try:
        yield account.make_directory(directory / "of"), account
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def free_port():
    """Return a TCP port of the loopback that nobody listens at."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if candidate.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port on 127.0.0.1")


def spawned(command, account, log, stop_signal=signal.SIGQUIT):
    """Start a server under the account; it gets the signal when the thread that calls this ends."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd="/",
            env=server_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=end_with_parent(stop_signal),
            **account.options(),
        )


def wait_until(fact, what, process=None, log=None):
    """Return what ``fact()`` says as soon as it is truthy; a process that ended meanwhile will not bring it about."""
    give_up_at = time.monotonic() + WITHIN
    while not (found := fact()):
        ended = process is not None and process.poll() is not None
        text = log.read_text(errors="replace")[-3000:] if log else ""
        assert not ended, f"{what}: ended with code {process.returncode}\n{text}"
        assert time.monotonic() < give_up_at, f"{what}: not within {WITHIN} s\n{text}"
        time.sleep(_LOOK_EVERY)
    return found
