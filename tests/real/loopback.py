"""A network of loopback alone for the real client, where the kernel allows one.

A socket stays in the network it was made in. So a small process in a new network namespace makes the listening sockets
and hands them over; the servers answer on them from outside, and the client, inside, reaches nothing else.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_SET_INTERFACE_FLAGS = 0x8914
_UP_LOOPBACK_RUNNING = 0x49


@dataclass(frozen=True)
class Loopback:
    """Listening sockets, and the words before a command that puts it into the same network."""

    doors: list[socket.socket]
    prefix: list[str]
    isolated: bool


def _listening(count: int) -> list[socket.socket]:
    return [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]


def _ways_in() -> tuple[list[str], list[str]]:
    """Return the options of unshare and nsenter: root needs no user namespace, others are root in theirs."""
    if os.geteuid() == 0:
        return ["--net"], ["--net"]
    return ["--user", "--map-root-user", "--net"], ["--user", "--preserve-credentials", "--net"]


def _received(ours: socket.socket, count: int) -> list[socket.socket]:
    """Return the sockets that the process in the namespace made; none where the kernel refused one."""
    ours.settimeout(10)
    try:
        _, handles, _, _ = socket.recv_fds(ours, 1, count)
    except OSError:
        return []
    return [socket.socket(fileno=handle) for handle in handles]


@contextmanager
def loopback_only(count: int) -> Iterator[Loopback]:
    """Yield ``count`` listening sockets in a network of their own, or in the usual one where there is no other."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        yield Loopback(_listening(count), [], isolated=False)
        return
    out, back = _ways_in()
    ours, theirs = socket.socketpair()
    command = ["unshare", *out, sys.executable, "-I", __file__, str(theirs.fileno()), str(count)]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
    theirs.close()
    try:
        doors = _received(ours, count)
        if doors:
            yield Loopback(doors, ["nsenter", "--target", str(process.pid), *back, "--"], isolated=True)
        else:
            yield Loopback(_listening(count), [], isolated=False)
    finally:
        ours.close()
        process.wait(10)


def _serve_namespace(control: socket.socket, count: int) -> None:
    """Bring the loopback interface up, hand the sockets over and stay until the other side hangs up."""
    with socket.socket() as probe:
        fcntl.ioctl(probe, _SET_INTERFACE_FLAGS, struct.pack("16sh", b"lo", _UP_LOOPBACK_RUNNING))
    doors = _listening(count)
    socket.send_fds(control, [b"."], [door.fileno() for door in doors])
    control.recv(1)


if __name__ == "__main__":
    _serve_namespace(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
