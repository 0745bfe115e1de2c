"""Headspace's limits, read late from the settings."""

from datetime import timedelta

from django.conf import settings


def busy_after() -> timedelta:
    """How long a hook asks for its agent's lock before it is stored as pending."""
    return _limit("BUSY_AFTER")


def waiters_per_agent() -> int:
    """How many hooks of one agent may wait in one process."""
    return int(settings.HEADSPACE["WAITERS_PER_AGENT"])


def duplicate_within() -> timedelta:
    """Within what time two equal payloads are one event that was delivered twice."""
    return _limit("DUPLICATE_WITHIN")


def text_limit() -> int:
    """How many characters of one text are stored."""
    return int(settings.HEADSPACE["TEXT_LIMIT"])


def payload_limit() -> int:
    """How many bytes a hook's body may have."""
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def silent_after() -> timedelta:
    """After what silence an agent is shown as silent."""
    return _limit("SILENT_AFTER")


def unknown_after() -> timedelta:
    """After what silence, with no living process, an agent's presence is unknown."""
    return _limit("UNKNOWN_AFTER")


def _limit(name: str) -> timedelta:
    limit: timedelta = settings.HEADSPACE[name]
    return limit
