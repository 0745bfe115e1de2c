"""The loop around a pass: naps, signals, and care for the connection. It knows nothing of agents."""

import logging
import signal
import time
from collections.abc import Callable
from types import FrameType

from django.db import Error, close_old_connections
from django.utils import timezone

from agents.cycles.report import Report
from locks import AdvisoryLockError

log = logging.getLogger(__name__)

_NAP = 0.2
"""Seconds: how long a signal may have to wait for the end of a sleep."""


class Loop:
    """Run a pass again and again until SIGTERM or SIGINT; the pass under way is finished."""

    def __init__(self, run_once: Callable[..., Report], every: float, show: Callable[[Report], None]) -> None:
        self._run_once = run_once
        self._every = every
        self._show = show
        self._stopping = False

    def run(self) -> None:
        """Go on until told to stop."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._stopping:
                began = time.monotonic()
                self._pass()
                self._nap_until(began + self._every)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass(self) -> None:
        close_old_connections()
        try:
            self._show(self._run_once(timezone.now()))
        except (Error, AdvisoryLockError):
            log.exception("the pass failed; the next one comes in %s s", self._every)

    def _nap_until(self, instant: float) -> None:
        # Sliced: a sleep goes on after a signal handler has returned.
        while not self._stopping and time.monotonic() < instant:
            time.sleep(min(_NAP, max(0.0, instant - time.monotonic())))

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
