"""Marks by which a queue cluster shows that tasks still travel from its broker to its workers.

django-q2 hangs for ever, and cannot be asked to stop, once a worker is killed while it waits for work. So a task that
only leaves a mark goes through every cluster; whoever started the cluster kills it when the marks end. The task is made
where tasks are fetched, not enqueued: in the database, another cluster of the same queue would take it.
"""

import os
import time
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.signals import post_execute_in_worker, pre_execute
from django_q.signing import SignedPackage

from headspace.env import env_int

_BEAT_EVERY = 3.0  # seconds
_SILENT_AFTER = timedelta(seconds=15)
_STARTED_AFTER = timedelta(seconds=60)  # of a machine that has a lot to do
_BEGUN, _DONE = b"+", b"-"


class HeartbeatBroker(ORM):
    """django-q2's own broker, that also hands out a task of no effect every three seconds."""

    _beat_at = 0.0

    def dequeue(self) -> list[tuple[Any, str]] | None:
        """Return the packages of some tasks with what acknowledges them; a heartbeat needs no acknowledgement."""
        if time.monotonic() < self._beat_at:
            tasks: list[tuple[Any, str]] | None = super().dequeue()
            return tasks
        self._beat_at = time.monotonic() + _BEAT_EVERY
        return [(None, SignedPackage.dumps(_heartbeat()))]


def beat() -> None:
    """Do nothing: that a worker came to this is the message."""


def leave_marks() -> None:
    """Have this process and its forks write a mark whenever a task begins and whenever one is done."""
    descriptor = env_int("HEADSPACE_MARKS", 0)
    if descriptor:
        pre_execute.connect(lambda **_: os.write(descriptor, _BEGUN), weak=False)
        post_execute_in_worker.connect(lambda **_: os.write(descriptor, _DONE), weak=False)


def silence_after(mark: bytes) -> timedelta:
    """Return how long a cluster that works may be silent after this mark, or after its start if there is none."""
    if not mark:
        return _STARTED_AFTER
    # All workers may be at long tasks. The first to be done leaves its mark, and then the short limit holds again.
    longest_task = timedelta(seconds=settings.Q_CLUSTER["timeout"])
    return _SILENT_AFTER + (longest_task if mark == _BEGUN else timedelta())


def _heartbeat() -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "name": "heartbeat",
        "func": "headspace.heartbeat.beat",
        "args": (),
        "kwargs": {},
        "started": timezone.now(),
        "save": False,
    }
