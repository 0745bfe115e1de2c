"""Codex: its moments as our events, our decisions as its answers, which it reads strictly: a key too many voids one."""

from collections.abc import Mapping
from typing import Any

from agents.adapters.reading import (
    Dialect,
    compaction_started,
    gated_moment_of,
    permission_answer,
    refusal,
    session_started,
    subagent_started,
    subagent_stopped,
    subject_of,
    text_of,
    tool_of,
    turn_failed,
    word_of,
)
from agents.decisions import Ask, Decision, Deny
from agents.events import (
    Event,
    Origin,
    Payload,
    PermissionRequested,
    PromptSubmitted,
    SessionEnded,
    Tool,
    ToolFinished,
    ToolRequested,
    TurnInterrupted,
    TurnStopped,
)

READS = frozenset(
    {
        "grep_files",
        "list_dir",
        "list_mcp_resource_templates",
        "list_mcp_resources",
        "read_file",
        "read_mcp_resource",
        "update_plan",
        "view_image",
        "web_search",
    }
)
"""Tools that change nothing outside the conversation; any other writes, and its shell is always one tool."""


def _tool(payload: Payload) -> Tool:
    return tool_of(payload, READS, {})


def _session_ended(origin: Origin, payload: Payload) -> Event:
    return SessionEnded(origin, reason=word_of(payload, "reason"))


def _prompt_submitted(origin: Origin, payload: Payload) -> Event:
    return PromptSubmitted(origin, text=text_of(payload, "prompt"))


def _tool_requested(origin: Origin, payload: Payload) -> Event:
    return ToolRequested(origin, tool=_tool(payload))


def _tool_finished(origin: Origin, payload: Payload) -> Event:
    # The response is a bare text without an exit code: whether the call went well is not told.
    return ToolFinished(origin, tool=_tool(payload))


def _permission_requested(origin: Origin, payload: Payload) -> Event:
    return PermissionRequested(origin, tool=_tool(payload), text=subject_of(payload))


def _turn_stopped(origin: Origin, payload: Payload) -> Event:
    return TurnStopped(origin, text=text_of(payload, "last_assistant_message"))


def _turn_interrupted(origin: Origin, payload: Payload) -> Event:
    return TurnInterrupted(origin)


DIALECT = Dialect(
    vendor="codex",
    prompt_key="turn_id",
    readers={
        "SessionStart": session_started,
        "SessionEnd": _session_ended,
        "UserPromptSubmit": _prompt_submitted,
        "PreToolUse": _tool_requested,
        "PostToolUse": _tool_finished,
        "PermissionRequest": _permission_requested,
        "Stop": _turn_stopped,
        "StopFailure": turn_failed,
        "Interrupt": _turn_interrupted,
        "SubagentStart": subagent_started,
        "SubagentStop": subagent_stopped,
        "PreCompact": compaction_started,
    },
    noted=frozenset({"PostCompact", "PreModelRequest"}),
)

EVENTS = frozenset(DIALECT.readers) | DIALECT.noted
"""Every moment that this vendor has, in its words."""


class Codex:
    """OpenAI's Codex CLI, seen at 0.169.0."""

    vendor = DIALECT.vendor

    def parse(self, payload: Payload, *, name: str = "") -> Event:
        """Return what the payload tells; raises ``AnomalousPayload``."""
        return DIALECT.event(payload, name)

    def gated_moment(self, body: bytes, *, name: str = "") -> str:
        """Return the moment that waits for a decision, as far as an unreadable body shows one."""
        return gated_moment_of(body, name)

    def render(self, decision: Decision, payload: Payload, *, name: str = "") -> Mapping[str, Any] | None:
        """Return the answer for the two moments that wait for one, None for all others.

        Before a tool it understands nothing but a refusal: an allowance without a new input is an error to it, and
        after ``ask`` the tool runs unasked. So what a person should have been asked is refused, with the reason.
        """
        moment = name or text_of(payload, "hook_event_name")
        if moment == "PermissionRequest":
            return permission_answer(decision)
        if moment == "PreToolUse" and isinstance(decision, Ask | Deny):
            return refusal(decision.reason)
        return None
