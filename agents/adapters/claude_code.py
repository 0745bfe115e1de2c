"""Claude Code: its 33 moments as our events, our decisions as its answers."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agents.adapters.reading import (
    Dialect,
    compaction_started,
    gated_moment_of,
    id_of,
    object_of,
    objects_of,
    path_of,
    permission_answer,
    refusal,
    session_started,
    specific_output,
    subagent_started,
    subagent_stopped,
    subject_of,
    text_of,
    tool_of,
    turn_failed,
    word_of,
)
from agents.decisions import Allow, Ask, Decision, Deny
from agents.errors import AnomalousPayload
from agents.events import (
    Asking,
    AttentionWanted,
    DirectoryChanged,
    Event,
    ModelChanged,
    Noted,
    Origin,
    Payload,
    PermissionDenied,
    PermissionRequested,
    PromptSubmitted,
    SessionEnded,
    Speaker,
    TextShown,
    Tool,
    ToolFinished,
    ToolRequested,
    ToolsSettled,
    TurnStopped,
)

ROUTES: dict[str, str] = {
    "session-start": "SessionStart",
    "session-end": "SessionEnd",
    "user-prompt-submit": "UserPromptSubmit",
    "stop": "Stop",
    "notification": "Notification",
    "pre-tool-use": "PreToolUse",
    "post-tool-use": "PostToolUse",
    "permission-request": "PermissionRequest",
}
"""The moments that have an address of their own: the address's word → the vendor's."""

READS = frozenset(
    {
        "Agent",
        "AgentOutputTool",
        "AskUserQuestion",
        "BashOutput",
        "CronList",
        "EnterPlanMode",
        "ExitPlanMode",
        "Glob",
        "Grep",
        "LS",
        "LSP",
        "ListMcpResourcesTool",
        "NotebookRead",
        "Read",
        "ReadMcpResourceTool",
        "Skill",
        "Task",
        "TaskCreate",
        "TaskGet",
        "TaskList",
        "TaskOutput",
        "TaskUpdate",
        "TodoRead",
        "TodoWrite",
        "ToolSearch",
        "WebFetch",
        "WebSearch",
    }
)
"""Tools that change nothing outside the conversation. Agent, Task and Skill only lead to calls that are judged one by
one. A tool that is not here writes: a shell, an MCP server's, one that the next version brings."""

ASKING = {"AskUserQuestion": Asking.QUESTION, "ExitPlanMode": Asking.PLAN}
"""Tools whose call is itself a question to a person."""

MACHINE_SOURCES = frozenset({"system", "loop_wakeup", "schedule_wakeup", "poll_event"})
MACHINE_PROMPT = re.compile(
    r"\s*<(?:task-notification|agent-notification|teammate-message|agent-message|cross-session-message|system-reminder)[\s>]"
)
"""How a prompt begins that the client gives itself. Elsewhere in the text it means nothing: a person may quote it."""

OVER = frozenset({"completed", "failed", "killed", "stopped", "cancelled", "canceled"})
"""States of a background task that runs no more; any other, also none, is of one that runs."""

ATTENTION = {
    "permission_prompt": Asking.PERMISSION,
    "idle_prompt": None,
    "elicitation_dialog": Asking.QUESTION,
    "elicitation_url_dialog": Asking.QUESTION,
    "agent_needs_input": Asking.QUESTION,
}
"""Notifications that say a person is waited for, and for what."""


def _tool(payload: Payload) -> Tool:
    return tool_of(payload, READS, ASKING)


def _asked(payload: Payload, tool: Tool) -> str:
    """Return the questions or the plan of a tool that asks, nothing for the others."""
    tool_input = object_of(payload, "tool_input")
    if tool.asking is Asking.PLAN:
        return text_of(tool_input, "plan")
    if tool.asking is Asking.QUESTION:
        return "\n".join(filter(None, (text_of(one, "question") for one in objects_of(tool_input, "questions"))))
    return ""


def _session_ended(origin: Origin, payload: Payload) -> Event:
    reason = word_of(payload, "reason")
    return SessionEnded(origin, reason=reason, continues=reason in {"clear", "resume"})


def _prompt_submitted(origin: Origin, payload: Payload) -> Event:
    text, source = text_of(payload, "prompt"), text_of(payload, "source")
    by_machine = source in MACHINE_SOURCES if source else MACHINE_PROMPT.match(text) is not None
    return PromptSubmitted(origin, text=text, speaker=Speaker.MACHINE if by_machine else Speaker.PERSON)


def _tool_requested(origin: Origin, payload: Payload) -> Event:
    tool = _tool(payload)
    return ToolRequested(origin, tool=tool, text=_asked(payload, tool))


def _permission_requested(origin: Origin, payload: Payload) -> Event:
    tool = _tool(payload)
    return PermissionRequested(origin, tool=tool, text=_asked(payload, tool) or subject_of(payload))


def _permission_denied(origin: Origin, payload: Payload) -> Event:
    return PermissionDenied(origin, tool=_tool(payload), reason=text_of(payload, "reason"))


def _tool_finished(origin: Origin, payload: Payload) -> Event:
    return ToolFinished(origin, tool=_tool(payload))


def _tool_failed(origin: Origin, payload: Payload) -> Event:
    return ToolFinished(origin, tool=_tool(payload), failed=True, interrupted=payload.get("is_interrupt") is True)


def _tools_settled(origin: Origin, payload: Payload) -> Event:
    # A call that the list leaves out stays open, so a list that cannot be read whole is refused.
    calls = payload.get("tool_calls", [])
    if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
        raise AnomalousPayload("tool_calls must be a list of objects")
    return ToolsSettled(origin, use_ids=tuple(filter(None, (id_of(call, "tool_use_id") for call in calls))))


def _attention_wanted(origin: Origin, payload: Payload) -> Event:
    kind = text_of(payload, "notification_type")
    if kind not in ATTENTION:
        return Noted(origin)
    return AttentionWanted(origin, asking=ATTENTION[kind], text=text_of(payload, "message"))


def _text_shown(origin: Origin, payload: Payload) -> Event:
    # A subagent's words are no answer to the person.
    return Noted(origin) if origin.subagent_id else TextShown(origin, text=text_of(payload, "delta"))


def _turn_stopped(origin: Origin, payload: Payload) -> Event:
    # Scheduled prompts (session_crons) make no pause: nothing runs until they fire, and then they come as a prompt of
    # their own; one that recurs would keep the command open for ever.
    running = (task for task in objects_of(payload, "background_tasks") if text_of(task, "status") not in OVER)
    return TurnStopped(
        origin,
        text=text_of(payload, "last_assistant_message"),
        background=tuple(_described(task) for task in running),
    )


def _described(task: Payload) -> str:
    """Return a background task in words; never empty, for that it runs is what counts."""
    words = (text_of(task, key) for key in ("description", "command", "name", "tool", "agent_type", "type", "id"))
    return next(filter(None, words), "background task")


def _directory_changed(origin: Origin, payload: Payload) -> Event:
    return DirectoryChanged(replace(origin, cwd=path_of(payload, "new_cwd") or origin.cwd))


def _model_changed(origin: Origin, payload: Payload) -> Event:
    return ModelChanged(replace(origin, model=word_of(payload, "to_model") or origin.model))


DIALECT = Dialect(
    vendor="claude-code",
    prompt_key="prompt_id",
    readers={
        "SessionStart": session_started,
        "SessionEnd": _session_ended,
        "UserPromptSubmit": _prompt_submitted,
        "PreToolUse": _tool_requested,
        "PermissionRequest": _permission_requested,
        "PermissionDenied": _permission_denied,
        "PostToolUse": _tool_finished,
        "PostToolUseFailure": _tool_failed,
        "PostToolBatch": _tools_settled,
        "Notification": _attention_wanted,
        "MessageDisplay": _text_shown,
        "Stop": _turn_stopped,
        "StopFailure": turn_failed,
        "SubagentStart": subagent_started,
        "SubagentStop": subagent_stopped,
        "PreCompact": compaction_started,
        "CwdChanged": _directory_changed,
        "PostModelSwitch": _model_changed,
    },
    noted=frozenset(
        {
            "ConfigChange",
            "DirectoryAdded",
            "Elicitation",
            "ElicitationResult",
            "FileChanged",
            "InstructionsLoaded",
            "PostCompact",
            "PreModelSwitch",
            "Setup",
            "TaskCompleted",
            "TaskCreated",
            "TeammateIdle",
            "UserPromptExpansion",
            "WorktreeCreate",
            "WorktreeRemove",
        }
    ),
)

EVENTS = frozenset(DIALECT.readers) | DIALECT.noted
"""Every moment that this vendor has, in its words."""


class ClaudeCode:
    """Anthropic's Claude Code, seen from 2.1.197 to 2.1.330."""

    vendor = DIALECT.vendor

    def parse(self, payload: Payload, *, name: str = "") -> Event:
        """Return what the payload tells; raises ``AnomalousPayload``."""
        return DIALECT.event(payload, name)

    def gated_moment(self, body: bytes, *, name: str = "") -> str:
        """Return the moment that waits for a decision, as far as an unreadable body shows one."""
        return gated_moment_of(body, name)

    def render(self, decision: Decision, payload: Payload, *, name: str = "") -> Mapping[str, Any] | None:
        """Return the answer for the two moments that wait for one, None for all others.

        Any text in an answer about a compaction would be added to its prompt, and an empty object is written into
        the person's transcript: having no opinion is having no body.
        """
        moment = name or text_of(payload, "hook_event_name")
        if moment == "PermissionRequest":
            return None if _answers_for_person(decision, payload) else permission_answer(decision)
        return _gate(decision, payload) if moment == "PreToolUse" else None


def _gate(decision: Decision, payload: Payload) -> dict[str, Any] | None:
    match decision:
        case Deny(reason):
            return refusal(reason)
        case Ask(reason):
            fields = {"permissionDecision": "ask", "permissionDecisionReason": reason}
            return specific_output("PreToolUse", fields)
        case Allow() if not _answers_for_person(decision, payload):
            return specific_output("PreToolUse", {"permissionDecision": "allow"})
        case _:
            return None


def _answers_for_person(decision: Decision, payload: Payload) -> bool:
    """Whether it lets a question pass without an answer: the model would hear that the person gave none."""
    return isinstance(decision, Allow) and ASKING.get(text_of(payload, "tool_name")) is Asking.QUESTION
