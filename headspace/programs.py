"""The programs of one machine, declared in one place."""

import sys
from dataclasses import replace
from datetime import timedelta

from django.conf import settings

from headspace.child import Program
from headspace.heartbeat import silence_after

# Connections to PostgreSQL that are left to the queue, the cycles and people; the web gets the rest.
_CONNECTIONS_OF_OTHERS = 20
# Hooks may be waiting already; on a small machine all programs together take several seconds to start.
_AFTER_WEB = timedelta(seconds=2)


def programs(listener: int, connections: int) -> list[Program]:
    """Return all programs; the web answers at the listening socket with this descriptor.

    ``connections`` is how many PostgreSQL allows.
    """
    limits = settings.HEADSPACE
    return [
        web(listener, connections),
        replace(queue(), start_after=_AFTER_WEB),
        cycle("reap", limits["REAP_EVERY"].total_seconds()),
        cycle("drain", limits["DRAIN_EVERY"].total_seconds()),
    ]


def web(listener: int, connections: int) -> Program:
    """Return hooks, API and pages: processes with threads, each of which keeps a connection."""
    workers = settings.HEADSPACE["WEB_WORKERS"]
    threads = web_threads(workers, settings.HEADSPACE["WEB_THREADS"], connections)
    command = [sys.executable, "-m", "gunicorn", "--config", "python:headspace.web", "--bind", f"fd://{listener}"]
    command += ["--workers", str(workers), "--threads", str(threads)]
    return Program(name="web", command=tuple(command), descriptors=(listener,))


def web_threads(workers: int, wanted: int, connections: int) -> int:
    """Return how many threads a worker may have, so that each can keep its connection to PostgreSQL; at least one."""
    return max(1, min(wanted, (connections - _CONNECTIONS_OF_OTHERS) // workers))


def queue() -> Program:
    """Return the queue's cluster, which shows by marks that it works."""
    return Program(name="queue", command=manage("queue", "--unguarded"), silence=silence_after)


def cycle(name: str, every: float) -> Program:
    """Return the command of a cycle, repeated every so many seconds."""
    return Program(name=name, command=manage(name, "--every", f"{every:g}"), start_after=_AFTER_WEB)


def manage(*words: str) -> tuple[str, ...]:
    """Return a command of manage.py."""
    return (sys.executable, str(settings.BASE_DIR / "manage.py"), *words)
