"""What a client tells beside the payload: its event key, its count, its time, and the process that it is."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agents.errors import AnomalousPayload
from agents.events import Event, Process

_KEY = re.compile(r"[\x21-\x7e]{1,180}")
_SEQUENCE_LIMIT = 2**63
_PROCESS = re.compile(r"(\d{1,10}) (\S{1,40}) (\S{1,120})")
_ANCESTORS = re.compile(r"\d{1,10}(,\d{1,10}){0,63}")
_PANE_LIMIT = 255


def client_key(text: str) -> str:
    """Return the client's event key, or nothing. Raises ``AnomalousPayload``."""
    if text and not _KEY.fullmatch(text):
        raise AnomalousPayload("Idempotency-Key must be 1 to 180 printable characters without blanks.")
    return text


def sequence(text: str) -> int | None:
    """Return the client's count, or nothing. Raises ``AnomalousPayload``."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < _SEQUENCE_LIMIT):
        raise AnomalousPayload("X-Headspace-Sequence must be a whole number below 2^63.")
    return int(text)


def occurred_at(text: str) -> datetime | None:
    """Return the client's time, or nothing. Raises ``AnomalousPayload``."""
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo:
            # In UTC, because the database gives it back so: an hour before the year 1 could be stored, but never read.
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise AnomalousPayload("X-Headspace-Occurred-At must be an RFC 3339 date and time with its offset.")


def told_by(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what the headers tell of the client's process; what cannot be meant is left out, as if untold."""
    told: dict[str, Any] = {}
    if match := _PROCESS.fullmatch(headers.get("X-Headspace-Process", "")):
        told["process"] = [int(match[1]), match[2], match[3]]
    if _ANCESTORS.fullmatch(text := headers.get("X-Headspace-Ancestors", "")):
        told["ancestors"] = [int(pid) for pid in text.split(",")]
    if pane := headers.get("X-Headspace-Pane", "").replace("\0", "")[:_PANE_LIMIT]:
        told["pane"] = pane
    return told


def with_process(event: Event, told: Mapping[str, Any]) -> Event:
    """Return the event with what the headers told of its process."""
    if not told:
        return event
    process = Process(*told["process"]) if "process" in told else None
    ancestors = tuple(told.get("ancestors", ()))
    origin = replace(event.origin, process=process, ancestors=ancestors, pane=told.get("pane", ""))
    return replace(event, origin=origin)
