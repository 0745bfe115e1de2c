"""What django-q2 calls by name: one pass each. The dotted names are kept in its schedules, so they are for ever."""

from django.utils import timezone

from agents.cycles import drainer, reaper


def reap() -> str:
    """Run one pass of the reaper and return its report as text."""
    return str(reaper.run_once(timezone.now()))


def drain() -> str:
    """Run one pass of the drainer and return its report as text."""
    return str(drainer.run_once(timezone.now()))
