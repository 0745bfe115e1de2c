"""Every place between two statements of a hook: where a process can be stopped, and then killed."""

import os
import select
import socket
from dataclasses import dataclass

from tests.races.meeting import WITHIN, wait_until


def install(connection, stop):
    """Call `stop(place)` before and after each statement and each commit of a Django connection."""

    def statement(execute, sql, params, many, context):
        stop(f"before {sql[:40]}")
        result = execute(sql, params, many, context)
        stop(f"after {sql[:40]}")
        return result

    def committed():
        stop("before the commit")
        commit()
        stop("after the commit")

    commit = connection.commit
    connection.execute_wrappers.append(statement)
    connection.commit = committed


def tell(path, place, backend):
    """Say where this process stands, and stay there until the watcher says go; without a watcher go on."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(path)
        except OSError:
            return
        line.sendall(f"{os.getpid()} {backend} {place}".encode())
        line.recv(1)


@dataclass(frozen=True)
class Step:
    """A process that stands somewhere."""

    pid: int
    backend: int
    place: str
    line: socket.socket

    def go_on(self):
        self.line.close()


class Watcher:
    """Lets another process go on, one step at a time."""

    def __init__(self, path):
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(WITHIN)
        self._listener.bind(str(path))
        self._listener.listen()

    def step(self, actor):
        """Return where the process stands next; None when the actor that waits for it is done."""
        wait_until(lambda: actor.is_done or self._is_called())
        if not self._is_called():
            return None
        line, _ = self._listener.accept()
        line.settimeout(WITHIN)
        pid, backend, place = line.recv(4096).decode().split(" ", 2)
        return Step(int(pid), int(backend), place, line)

    def _is_called(self):
        return bool(select.select([self._listener], [], [], 0)[0])

    def close(self):
        """Let everybody go on from now on."""
        self._path.unlink()
        self._listener.close()
