"""What adapters share: reading fields without trusting them, and the moments that several vendors tell alike."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from agents.decisions import Allow, Decision, Deny
from agents.errors import AnomalousPayload
from agents.events import (
    Asking,
    CompactionStarted,
    Event,
    Noted,
    Origin,
    Payload,
    SessionStarted,
    Start,
    SubagentStarted,
    SubagentStopped,
    Tool,
    TurnFailed,
    Unknown,
)

ID_LIMIT = 200
"""Characters in an id or a tool's name; a longer one is refused, because a cut id may be somebody else's."""

WORD_LIMIT = 100
"""Characters kept of what is only shown: the moment's name, the permission mode, the model."""

PATH_LIMIT = 1024
"""Characters in a path; a longer one counts as untold, because a cut path is another place."""

NO_REASON = "Refused by Headspace; no reason was given."

SUBJECTS = ("command", "file_path", "notebook_path", "url", "query", "pattern", "path", "description", "prompt")
"""The input's fields that tell a person what a call is about, the most telling first."""

STARTS = {start.value: start for start in Start}
"""The vendors' words for why a conversation begins, which ours were named after."""

GATED = ("PreToolUse", "PermissionRequest")
"""The moments in which the vendors wait for a decision, in their common words."""

_MOMENT = re.compile(rb'"hook_event_name"\s*:\s*"(\w+)"')

Reader = Callable[[Origin, Payload], Event]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one vendor names its moments: those with a reader become events, the noted ones are known and unused."""

    vendor: str
    prompt_key: str
    """The field with the id of the prompt in progress."""
    readers: Mapping[str, Reader]
    noted: frozenset[str]

    def event(self, payload: Payload, name: str) -> Event:
        """Return what the payload tells; ``name`` outranks the payload's own. Raises ``AnomalousPayload``."""
        name = moment_of(payload, name)
        origin = Origin(
            vendor=self.vendor,
            session_id=session_of(payload),
            name=name[:WORD_LIMIT],
            prompt_id=id_of(payload, self.prompt_key),
            subagent_id=id_of(payload, "agent_id"),
            cwd=path_of(payload, "cwd"),
            transcript_path=path_of(payload, "transcript_path"),
            permission_mode=word_of(payload, "permission_mode"),
            model=word_of(payload, "model"),
        )
        if reader := self.readers.get(name):
            return reader(origin, payload)
        return Noted(origin) if name in self.noted else Unknown(origin)


def moment_of(payload: Payload, name: str = "") -> str:
    """Return the moment's name in the vendor's word: from the address if it has one, else from the payload."""
    if name:
        return name
    told = payload.get("hook_event_name")
    if not isinstance(told, str) or not told:
        raise AnomalousPayload("hook_event_name must be a text that is not empty")
    return told


def gated_moment_of(body: bytes, name: str) -> str:
    """Return the moment of a body that cannot be read, where it is one that waits for a decision; else nothing."""
    told = _MOMENT.search(body)
    moment = name or (told[1].decode() if told else "")
    return moment if moment in GATED else ""


def session_of(payload: Payload) -> str:
    """Return the id of the conversation; raises ``AnomalousPayload`` without one."""
    session_id = id_of(payload, "session_id")
    if not session_id:
        raise AnomalousPayload("session_id must be a text that is not empty")
    return session_id


def id_of(payload: Payload, key: str) -> str:
    """Return a field that rules rest on, empty if it is not there; raises ``AnomalousPayload`` for another type."""
    value = payload.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise AnomalousPayload(f"{key} must be a text")
    if len(value) > ID_LIMIT:
        raise AnomalousPayload(f"{key} is longer than {ID_LIMIT} characters")
    return value


def text_of(payload: Payload, key: str) -> str:
    """Return a field that only describes, empty if it is not a text."""
    value = payload.get(key)
    return value if isinstance(value, str) else ""


def word_of(payload: Payload, key: str) -> str:
    """Return a short text, cut if need be."""
    return text_of(payload, key)[:WORD_LIMIT]


def path_of(payload: Payload, key: str) -> str:
    """Return a path, empty if it is too long to be one."""
    path = text_of(payload, key)
    return path if len(path) <= PATH_LIMIT else ""


def object_of(payload: Payload, key: str) -> Payload:
    """Return an inner object, an empty one if it is none."""
    value = payload.get(key)
    return value if isinstance(value, Mapping) else {}


def objects_of(payload: Payload, key: str) -> tuple[Payload, ...]:
    """Return the objects of a list, skipping what is none."""
    value = payload.get(key)
    return tuple(item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


def digest_of(name: str, tool_input: Any) -> str:
    """Return 32 hexadecimal digits that are equal for equal calls, whatever the order of their input's keys."""
    canonical = json.dumps([name, tool_input], sort_keys=True, separators=(",", ":"))
    return blake2b(canonical.encode("ascii"), digest_size=16).hexdigest()


def tool_of(payload: Payload, reads: frozenset[str], asking: Mapping[str, Asking]) -> Tool:
    """Return the call; it writes unless its tool is among those that only read."""
    name = id_of(payload, "tool_name")
    return Tool(
        name=name,
        use_id=id_of(payload, "tool_use_id"),
        digest=digest_of(name, payload.get("tool_input")),
        writes=name not in reads,
        asking=asking.get(name),
    )


def subject_of(payload: Payload) -> str:
    """Return what a call is about, for the person who is asked: the command, the file, else the whole input."""
    tool_input = object_of(payload, "tool_input")
    texts = (text_of(tool_input, key) for key in SUBJECTS)
    return next(filter(None, texts), "") or (json.dumps(tool_input, ensure_ascii=False) if tool_input else "")


def session_started(origin: Origin, payload: Payload) -> Event:
    """Read the begin of a conversation; a source that we do not know counts as a plain start."""
    source = text_of(payload, "source")
    return SessionStarted(origin, start=STARTS.get(source, Start.STARTUP))


def subagent_started(origin: Origin, payload: Payload) -> Event:
    """Read the begin of a subagent."""
    return SubagentStarted(origin)


def subagent_stopped(origin: Origin, payload: Payload) -> Event:
    """Read the end of a subagent."""
    return SubagentStopped(origin)


def turn_failed(origin: Origin, payload: Payload) -> Event:
    """Read an answer that ended in an error of the model's service."""
    text = text_of(payload, "last_assistant_message") or text_of(payload, "error_details")
    return TurnFailed(origin, error=word_of(payload, "error"), text=text)


def compaction_started(origin: Origin, payload: Payload) -> Event:
    """Read the begin of a compaction."""
    return CompactionStarted(origin, by_person=text_of(payload, "trigger") == "manual")


def specific_output(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer about one moment, in the envelope that the vendors have in common."""
    return {"hookSpecificOutput": {"hookEventName": name, **fields}}


def refusal(reason: str) -> dict[str, Any]:
    """Return the answer that stops a tool; one without a reason would be thrown away, and the tool would run."""
    fields = {"permissionDecision": "deny", "permissionDecisionReason": reason.strip() or NO_REASON}
    return specific_output("PreToolUse", fields)


def permission_answer(decision: Decision) -> dict[str, Any] | None:
    """Return the answer to a permission request; None leaves it to the person who is being asked already."""
    match decision:
        case Allow():
            answer = {"behavior": "allow"}
        case Deny(reason):
            answer = {"behavior": "deny", "message": reason.strip() or NO_REASON}
        case _:
            return None
    return specific_output("PermissionRequest", {"decision": answer})
