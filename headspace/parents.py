"""Processes that end when their parent does, however it ended (on Linux; elsewhere they outlive a killed one)."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a child should not have to.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_with_parent(number: int = signal.SIGKILL, parent: int = 0) -> Callable[[], None]:
    """Return what a child calls after its fork to receive the signal when its parent, this process, ends."""
    parent = parent or os.getpid()

    def ask_kernel() -> None:
        if _prctl is None:
            return
        _prctl(_PR_SET_PDEATHSIG, int(number))
        # Or the parent ended before we asked, and nobody will tell.
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


def end_all_with_parents() -> None:
    """Have every process that is forked from now on, at any depth, end with the one that forked it."""
    asks: list[Callable[[], None]] = []
    os.register_at_fork(
        before=lambda: asks.append(end_with_parent()),
        after_in_parent=asks.pop,
        after_in_child=lambda: asks.pop()(),
    )
