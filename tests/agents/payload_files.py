"""The payload files of the tests, and what is compared of the events that they become."""

import json
from dataclasses import replace
from pathlib import Path

from agents.events import Origin
from agents.payloads import decode

ROOT = Path(__file__).parent.parent / "payloads"

NOWHERE = Origin(vendor="", session_id="")
"""Stands for the origin in the tables, which tests of its own compare with the payload."""


def files(vendor):
    """Return the names of all payload files of a vendor, relative to its folder; schemas are none."""
    folder = ROOT / vendor
    return {str(path.relative_to(folder)) for path in folder.rglob("*.json*")} - {"schemas.json"}


def payload(vendor, file, **changes):
    """Return the payload in a file, read as the server reads a body, with some fields changed."""
    return {**decode((ROOT / vendor / file).read_bytes()), **changes}


def lines(vendor, file):
    """Return the payloads of a recorded session in the order in which they arrived."""
    text = (ROOT / vendor / file).read_text(encoding="utf-8")
    return [json.loads(line)["payload"] for line in text.splitlines()]


def told(event):
    """Return the event without its origin and its tool's digest: what a table can state."""
    event = replace(event, origin=NOWHERE)
    return replace(event, tool=replace(event.tool, digest="")) if hasattr(event, "tool") else event
