"""The signals that ask this process to stop, counted from the moment on when it has something to stop.

Counted, because an exception would be lost where Python ignores exceptions, as in what it runs around a fork.
"""

import os
import signal
import time
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_STOP_WITHIN = 1.0  # seconds; signals of one stop, from a terminal and from a `make` above us, are one


class Stops:
    """A context; in it SIGINT, SIGTERM and SIGHUP end nothing, and make ``asked`` true instead."""

    def __init__(self) -> None:
        self.asked = False
        self.urgent = False
        """Asked again, later."""
        self.wake = -1
        """A descriptor that can be read after any signal, also when a child ends."""
        self._asked_at = 0.0

    def __enter__(self) -> "Stops":
        self.wake, self._woken = os.pipe()
        for descriptor in (self.wake, self._woken):
            os.set_blocking(descriptor, False)
        self._former = {number: signal.signal(number, self._note) for number in (*_SIGNALS, signal.SIGCHLD)}
        self._former_wakeup = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        return self

    def __exit__(self, *raised: object) -> None:
        signal.set_wakeup_fd(self._former_wakeup)
        for number, disposition in self._former.items():
            signal.signal(number, disposition)
        os.close(self.wake)
        os.close(self._woken)

    def hush(self) -> None:
        """Make ``wake`` unreadable until the next signal."""
        os.read(self.wake, 4096)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number not in _SIGNALS:
            return
        now = time.monotonic()
        if not self.asked:
            self._asked_at = now
        self.asked = True
        self.urgent = self.urgent or now - self._asked_at > _ONE_STOP_WITHIN
