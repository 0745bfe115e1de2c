"""What Claude Code accepts in the hooks of a settings file; anything else makes it drop every hook without a word."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn
from urllib.parse import urlsplit

COMMAND_EVENTS = frozenset({"SessionStart", "Setup"})
"""Events that run commands alone: their http hooks are skipped silently."""

EVENTS = COMMAND_EVENTS | {
    "ConfigChange",
    "CwdChanged",
    "DirectoryAdded",
    "Elicitation",
    "ElicitationResult",
    "FileChanged",
    "InstructionsLoaded",
    "MessageDisplay",
    "Notification",
    "PermissionDenied",
    "PermissionRequest",
    "PostCompact",
    "PostModelSwitch",
    "PostToolBatch",
    "PostToolUse",
    "PostToolUseFailure",
    "PreCompact",
    "PreModelSwitch",
    "PreToolUse",
    "SessionEnd",
    "Stop",
    "StopFailure",
    "SubagentStart",
    "SubagentStop",
    "TaskCompleted",
    "TaskCreated",
    "TeammateIdle",
    "UserPromptExpansion",
    "UserPromptSubmit",
    "WorktreeCreate",
    "WorktreeRemove",
}
"""Every event of the client, in its words. Others are ignored by it, whatever their shape."""


class SettingsRefused(Exception):
    """A settings file that cannot be worked on; the message is one line and says why."""


# -- text → document ----------------------------------------------------------


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise SettingsRefused(f"the key {json.dumps(key)} stands twice in one object: only one of them counts")
        document[key] = value
    return document


def _no_number(word: str) -> NoReturn:
    raise SettingsRefused(f"it is not valid JSON: {word} is no number")


def document_of(text: str) -> dict[str, Any]:
    """Return the object that a settings text holds; raises ``SettingsRefused``."""
    if text.startswith("\ufeff"):
        raise SettingsRefused("it begins with a byte order mark, which is not JSON: save it as plain UTF-8")
    if not text.strip():
        raise SettingsRefused("it is empty: remove it, or write {} into it")
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise SettingsRefused(f"it is not valid JSON: {error}") from None
    except (ValueError, RecursionError):
        raise SettingsRefused("it is not valid JSON that can be read: too deep, or a number too long") from None
    if not isinstance(document, dict):
        raise SettingsRefused("it holds no JSON object")
    return document


# -- the shapes of entries ----------------------------------------------------

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not _truth(value) and value > 0


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _headers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _url(value: Any) -> bool:
    """Whether it is an address with a scheme, and a host where the scheme has one."""
    if not _text(value) or any(character.isspace() for character in value):
        return False
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.scheme) and (parts.scheme not in {"http", "https"} or bool(parts.netloc or parts.path))


REQUIRED: dict[str, dict[str, Check]] = {
    "command": {"command": _text},
    "http": {"url": _url},
    "mcp_tool": {"server": _text, "tool": _text},
    "prompt": {"prompt": _text},
    "agent": {"prompt": _text},
}
"""Per type of hook the keys that it must have."""

OPTIONAL: dict[str, Check] = {
    "timeout": _seconds,
    "if": _text,
    "statusMessage": _text,
    "once": _truth,
    "onFailure": lambda value: value in ("continue", "block"),
}
OPTIONAL_BY_TYPE: dict[str, dict[str, Check]] = {
    "command": {
        "args": _texts,
        "async": _truth,
        "asyncRewake": _truth,
        "shell": lambda value: value in ("bash", "powershell"),
    },
    "http": {"headers": _headers, "allowedEnvVars": _texts},
    "mcp_tool": {"input": _object},
    "prompt": {"model": _text, "continueOnBlock": _truth},
    "agent": {"model": _text},
}
"""Keys that a hook may have; the client ignores all others."""


def _hook_faults(hook: Any, place: str) -> Iterator[str]:
    if not isinstance(hook, dict):
        yield f"{place} is no object"
        return
    kind = hook.get("type")
    if not isinstance(kind, str) or kind not in REQUIRED:
        yield f"{place} has the type {json.dumps(kind)}, which the client does not know"
        return
    yield from (f"{place} lacks {key}" for key in REQUIRED[kind] if key not in hook)
    checks = REQUIRED[kind] | OPTIONAL | OPTIONAL_BY_TYPE[kind]
    yield from (f"{place}.{key} is not what it must be" for key in hook if key in checks and not checks[key](hook[key]))


def _group_faults(group: Any, place: str) -> Iterator[str]:
    if not isinstance(group, dict):
        yield f"{place} is no object"
    elif not isinstance(group.get("hooks"), list):
        yield f"{place}.hooks is no array"
    elif not isinstance(group.get("matcher", ""), str):
        yield f"{place}.matcher is no text"
    else:
        for index, hook in enumerate(group["hooks"]):
            yield from _hook_faults(hook, f"{place}.hooks[{index}]")


def _event_faults(groups: Any, place: str) -> Iterator[str]:
    if not isinstance(groups, list):
        yield f"{place} is no array"
        return
    for index, group in enumerate(groups):
        yield from _group_faults(group, f"{place}[{index}]")


def faults(document: dict[str, Any]) -> Iterator[str]:
    """Yield what would make the client drop the whole file's hooks, with the place of each."""
    hooks = document.get("hooks", {})
    if not isinstance(hooks, dict):
        yield "hooks is no object"
        return
    for event in hooks:
        if event in EVENTS:
            yield from _event_faults(hooks[event], f"hooks.{event}")


def refuse_faults(document: dict[str, Any]) -> None:
    """Raise ``SettingsRefused`` for the first fault."""
    fault = next(faults(document), None)
    if fault is not None:
        raise SettingsRefused(f"{fault}, so Claude Code would ignore every hook in it: correct it first")
