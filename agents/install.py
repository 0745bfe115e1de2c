"""Our hooks merged into a Claude Code settings text and taken out again: text in, text out, nobody else's touched.

An install remembers the text as it was (the *original*, kept beside the file). Taking our entries out gives the
original back to the byte, unless somebody changed something else since: then their text stays, less our entries.
"""

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agents.announce import MARK_COMMENT, MARK_HEADER, hooks_of, is_ours
from agents.settings_edit import Path, appended, removed
from agents.settings_rules import COMMAND_EVENTS, EVENTS, SettingsRefused, document_of, refuse_faults

ROUTE = "/hooks/claude-code"

LEFT_OUT = frozenset({"WorktreeCreate", "FileChanged"})
"""WorktreeCreate: its hook replaces what git does. FileChanged: its matcher must name files, and we watch none."""

TIMEOUT = 5
TIMEOUTS = {"PreToolUse": 10, "PermissionRequest": 10, "MessageDisplay": 2}
"""Seconds. Without one a hung server holds the client for minutes; a gate may wait for its agent's lock, and what is
being displayed should not wait at all."""


@dataclass(frozen=True)
class Receiver:
    """Where hooks go and with which token; ``announce`` is the command that runs ``announce.py``."""

    server: str
    token: str
    announce: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.server)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise SettingsRefused(f"{self.server!r} is not the address of a server, like http://127.0.0.1:8642")
        # The client reads $NAME in a header as a variable, and a header ends with its line.
        if not re.fullmatch(r"[\x21-\x7e]+", self.token) or "$" in self.token:
            raise SettingsRefused("the token holds characters that no token of Headspace has")

    @property
    def url(self) -> str:
        """The address of every http hook."""
        return self.server.rstrip("/") + ROUTE


@dataclass(frozen=True)
class Installed:
    """A text with our hooks, and the text that taking them out again leads to (None: there was no file)."""

    text: str
    original: str | None


# -- our entries --------------------------------------------------------------


def _entry(event: str, receiver: Receiver) -> dict[str, Any]:
    timeout = TIMEOUTS.get(event, TIMEOUT)
    if event in COMMAND_EVENTS:
        return {"type": "command", "command": f"{receiver.announce} {MARK_COMMENT}", "timeout": timeout}
    headers = {"Authorization": f"Bearer {receiver.token}", MARK_HEADER: "1"}
    return {"type": "http", "url": receiver.url, "timeout": timeout, "headers": headers}


def entries(receiver: Receiver) -> dict[str, dict[str, Any]]:
    """Return event → the group of hooks that we add to it: without a matcher, so that it gets every one."""
    return {event: {"hooks": [_entry(event, receiver)]} for event in sorted(EVENTS - LEFT_OUT)}


def _with_groups(text: str, groups: dict[str, dict[str, Any]]) -> str:
    """Return the text with each group at the end of its event's."""
    if "hooks" not in document_of(text):
        return appended(text, (), {event: [group] for event, group in groups.items()}, key="hooks")
    for event, group in groups.items():
        if event in document_of(text)["hooks"]:
            text = appended(text, ("hooks", event), group)
        else:
            text = appended(text, ("hooks",), [group], key=event)
    return text


# -- taking out ---------------------------------------------------------------


def _groups_of(document: dict[str, Any], event: str) -> list[Any]:
    hooks = document.get("hooks")
    groups = hooks.get(event) if isinstance(hooks, dict) else None
    return groups if isinstance(groups, list) else []


def _ours_in_group(group: Any, path: Path) -> Path | None:
    """Return the path of what is ours in a group: the whole of it where nothing else is in it."""
    hooks = group.get("hooks") if isinstance(group, dict) else None
    ours = [index for index, hook in enumerate(hooks) if is_ours(hook)] if isinstance(hooks, list) else []
    if not ours or not isinstance(hooks, list):
        return None
    return path if len(ours) == len(hooks) else (*path, "hooks", ours[0])


def _next_ours(document: dict[str, Any], event: str) -> Path | None:
    places = (_ours_in_group(group, ("hooks", event, at)) for at, group in enumerate(_groups_of(document, event)))
    return next(filter(None, places), None)


def _without_event(text: str, event: str, original: dict[str, Any]) -> str:
    """Return the text without our entries for an event, and without its array if that is empty through us."""
    path = _next_ours(document_of(text), event)
    if path is None:
        return text
    while path is not None:
        text = removed(text, path)
        path = _next_ours(document_of(text), event)
    was_there = isinstance(original.get("hooks"), dict) and event in original["hooks"]
    if not _groups_of(document_of(text), event) and not was_there:
        text = removed(text, ("hooks", event))
    return text


def _without_ours(text: str, original: dict[str, Any]) -> str:
    hooks = document_of(text).get("hooks")
    stripped = text
    for event in hooks if isinstance(hooks, dict) else ():
        stripped = _without_event(stripped, event, original)
    if stripped != text and not document_of(stripped)["hooks"] and "hooks" not in original:
        stripped = removed(stripped, ("hooks",))
    return stripped


def _document_or_none(text: str | None) -> dict[str, Any] | None:
    try:
        return None if text is None else document_of(text)
    except SettingsRefused:
        return None


def _in_order(document: dict[str, Any] | None) -> str:
    """Return a document in one spelling: two are equal when nobody changed anything but white space."""
    return json.dumps(document)


def uninstalled(current: str | None, kept: str | None) -> str | None:
    """Return the text without our entries; None where no file is left. ``kept`` is what an install remembered."""
    if current is None:
        return None
    original = _document_or_none(kept)
    stripped = _without_ours(current, original or {})
    if stripped == current:
        return current
    if kept is None:
        return stripped if document_of(stripped) else None
    return kept if _in_order(original) == _in_order(document_of(stripped)) else stripped


# -- putting in ---------------------------------------------------------------


def installed(current: str | None, kept: str | None, receiver: Receiver) -> Installed:
    """Return the text with our hooks in place of any that are there already; raises ``SettingsRefused``."""
    if current is not None:
        refuse_faults(document_of(current))
    original = uninstalled(current, kept)
    text = _with_groups("{}\n" if original is None else original, entries(receiver))
    refuse_faults(document_of(text))
    # Proved before anything is written: what is put in now can be taken out again without a trace.
    if uninstalled(text, original) != original:
        raise SettingsRefused("its layout is such that our entries could not be taken out again")
    return Installed(text, original)


def has_ours(text: str | None) -> bool:
    """Whether a text holds any entry of ours."""
    return text is not None and any(map(is_ours, hooks_of(document_of(text))))


# -- showing ------------------------------------------------------------------


def _masked(text: str | None) -> list[str]:
    shown = re.sub(r'(?i)(bearer )[^"\\\s]+', r"\1***", text or "")
    return [line + "\n" for line in shown.splitlines()]


def difference(before: str | None, after: str | None, name: str) -> str:
    """Return a unified diff in which tokens are masked; nothing where nothing changes that can be shown."""
    old, new = ("/dev/null" if text is None else name for text in (before, after))
    return "".join(difflib.unified_diff(_masked(before), _masked(after), old, new))
