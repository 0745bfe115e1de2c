"""What the tables remember of locks: single incidents, the last hour by the minute, durations."""

from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS
from django.db.models.functions import Now

from locks.models import Incident, Minute, Timing
from locks.timings import What

KEPT_FOR = timedelta(days=1)
SHOWN = 50
"""Incidents that a snapshot has."""


def newest_incidents(using: str = DEFAULT_DB_ALIAS, count: int = SHOWN) -> tuple[Incident, ...]:
    """Return what went badly within a day, the newest first; what other processes told, a few seconds later."""
    return tuple(Incident.objects.using(using).filter(at__gt=Now() - KEPT_FOR)[:count])


def minutes_since(instant: datetime, using: str = DEFAULT_DB_ALIAS) -> dict[datetime, Minute]:
    """Return the minutes after an instant in which there was something to count."""
    return {minute.minute: minute for minute in Minute.objects.using(using).filter(minute__gt=instant)}


def timings(using: str = DEFAULT_DB_ALIAS) -> dict[tuple[int, What], list[Timing]]:
    """Return all durations by namespace and what it was, the shortest first."""
    found: dict[tuple[int, What], list[Timing]] = {}
    for timing in Timing.objects.using(using):
        what: What = "wait" if timing.what == "wait" else "hold"
        found.setdefault((timing.namespace, what), []).append(timing)
    return found
