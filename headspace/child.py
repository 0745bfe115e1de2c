"""One running program: its process group, its output line by line, and the marks that show it is alive."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from headspace.env import child_environment
from headspace.parents import end_with_parent

_READ_AT_ONCE = 65536


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is to run: a command and how it is treated."""

    name: str
    command: tuple[str, ...]
    descriptors: tuple[int, ...] = ()
    """File descriptors of ours that it keeps."""
    start_after: timedelta = timedelta()
    """How long it gives way to others at the beginning."""
    stop_within: timedelta = timedelta(seconds=15)
    """How long it may take to end when asked; then its whole group is killed."""
    silence: Callable[[bytes], timedelta] | None = None
    """For a program that writes marks to the descriptor ``HEADSPACE_MARKS``: how long it may be silent after one."""


class Child:
    """A program that was started, in a session of its own: Ctrl-C reaches nobody but us."""

    def __init__(self, program: Program, environment: Mapping[str, str]) -> None:
        self.program = program
        self.marks, marks = _pipe() if program.silence else (-1, -1)
        self.last_mark = b""
        self.output, output = _pipe()
        self._rest = b""
        variables = {"HEADSPACE_MARKS": str(marks)} if program.silence else {}
        self._process = subprocess.Popen(
            program.command,
            env=child_environment() | dict(environment) | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[number for number in (*program.descriptors, marks) if number >= 0],
            start_new_session=True,
            preexec_fn=end_with_parent(),
        )
        for number in (output, marks):
            _close(number)

    @property
    def pid(self) -> int:
        """The process id, which is also the group's."""
        return self._process.pid

    def ended(self) -> bool:
        """Say whether the first process of the group has ended."""
        return self._process.poll() is not None

    def await_end(self) -> None:
        """Wait until the first process has ended."""
        self._process.wait()

    def ask_to_stop(self) -> None:
        """Ask the first process alone: django-q2 hangs when its whole group is asked."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill the whole group, which may outlive its first process."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # on macOS a group of zombies alone may not be signalled

    def lines(self) -> list[str]:
        """Return the whole lines that were written since the last call; no line waits for its end at the end."""
        *whole, self._rest = (self._rest + _read(self.output)).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def hear(self) -> None:
        """Remember the mark that was written last."""
        self.last_mark = _read(self.marks)[-1:] or self.last_mark

    def finish(self) -> list[str]:
        """Kill what is left of the group, and return the last lines."""
        self.kill()
        self._process.wait()
        lines = self.lines()
        lines += [self._rest.decode(errors="replace")] if self._rest else []
        for number in (self.output, self.marks):
            _close(number)
        return lines

    def end(self) -> str:
        """Return how it ended, in words."""
        code = self._process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    return reader, writer


def _read(number: int) -> bytes:
    pieces: list[bytes] = []
    try:
        while piece := os.read(number, _READ_AT_ONCE):
            pieces.append(piece)
    except BlockingIOError:
        pass
    return b"".join(pieces)


def _close(number: int) -> None:
    if number >= 0:
        os.close(number)
