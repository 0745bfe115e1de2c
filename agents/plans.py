"""What a judgement writes, in the shape that ``agents_record`` reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.decisions import decision_as_row
from agents.deliveries import Delivery
from agents.situations import CommandChange, OpenWait, Situation, Transition
from agents.snapshots import Row, situation_of, working_of
from agents.states import Presence


@dataclass(frozen=True, slots=True)
class Change:
    """Everything that is written with one judgement."""

    found: Row
    """What it was judged on."""
    transition: Transition
    at: datetime
    delivery: Delivery | None = None
    """The hook; None where a cycle judged."""
    pending_id: int | None = None
    """The journal's row, where the hook waited in the inbox."""
    outcome: str = "applied"
    who: str = "hook"
    correlation_id: str = ""


def plan_of(change: Change) -> dict[str, Any]:
    """Return what is to be written, in the shape that ``agents_record`` reads; empty parts are left out."""
    transition, before = change.transition, situation_of(change.found)
    command = before.command
    parts = {
        "at": change.at.isoformat(),
        "event": _event_row(change) if change.pending_id is None and change.delivery else None,
        "pending_id": change.pending_id,
        "outcome": change.outcome,
        "answer": decision_as_row(transition.decision),
        "agent": _agent_row(change),
        "command_id": command.id if command else None,
        "commands": [_command_row(item) for item in transition.commands],
        "waits": [_wait_row(wait) for wait in transition.after.waits if wait.id is None],
        "named_waits": _named_waits(before, transition.after),
        "closed_waits": [{"id": item.wait.id, "closed_by": item.closed_by} for item in transition.closed_waits],
        "turns": [
            {"command": turn.command, "actor": turn.actor, "intent": turn.intent, "text": turn.text}
            for turn in transition.turns
        ],
        "moves": [
            {
                "command": move.command,
                "before": move.before,
                "after": move.after,
                "trigger": move.trigger,
                "reason": move.reason,
            }
            for move in transition.moves
        ],
        "session_over": _session_over(change),
        "session_live": _session_live(change, before),
    }
    return {key: value for key, value in parts.items() if value or key in ("agent", "commands")}


def _event_row(change: Change) -> dict[str, Any]:
    delivery = change.delivery
    assert delivery is not None
    row = journal_row(delivery)
    row["outcome"] = change.outcome
    row["answer"] = decision_as_row(change.transition.decision)
    return row


def journal_row(delivery: Delivery) -> dict[str, Any]:
    """Return the journal's row of a delivery, without its host, agent and outcome."""
    origin = delivery.event.origin
    return {
        "vendor": origin.vendor,
        "session_id": origin.session_id,
        "name": origin.name,
        "key": delivery.keys[0],
        "sequence": delivery.sequence,
        "headers": dict(delivery.headers),
        "occurred_at": delivery.occurred_at.isoformat() if delivery.occurred_at else None,
        "received_at": delivery.received_at.isoformat(),
        "payload": delivery.payload,
        "size": delivery.size,
        "truncated": delivery.truncated,
    }


def _agent_row(change: Change) -> dict[str, Any]:
    agent, after = change.found["agent"], change.transition.after
    seen = {} if change.delivery is None or change.transition.late else _seen(agent, change)
    process = after.process
    ended = after.presence is Presence.ENDED
    return {
        **{name: agent[name] for name in _CARRIED},
        **seen,
        "generation": after.generation,
        "session_id": after.session_id,
        "pid": process.pid if process else None,
        "process_started": process.started if process else "",
        "process_place": process.place if process else "",
        "presence": after.presence,
        "ambiguous": after.ambiguous or None,
        "reason": change.transition.reason or agent["reason"],
        "working": working_of(after),
        "ended_at": (agent["ended_at"] or change.at.isoformat()) if ended else None,
        "end_reason": (change.transition.end_reason or agent["end_reason"]) if ended else "",
    }


_CARRIED = ("cwd", "transcript_path", "model", "permission_mode", "pane", "last_event", "last_seen_at")


def _seen(agent: Row, change: Change) -> dict[str, Any]:
    """Return what an event of the main agent tells about where and how it works; a subagent's tells only the time."""
    assert change.delivery is not None
    origin = change.delivery.event.origin
    told = (
        {}
        if origin.subagent_id
        else {
            "cwd": origin.cwd,
            "transcript_path": origin.transcript_path,
            "model": origin.model,
            "permission_mode": origin.permission_mode,
            "pane": origin.pane,
        }
    )
    return {
        **{name: text or agent[name] for name, text in told.items()},
        "last_event": origin.name,
        "last_seen_at": change.delivery.received_at.isoformat(),
    }


def _command_row(item: CommandChange) -> dict[str, Any]:
    return {
        "id": item.id,
        "state": item.state,
        "prompt_ids": item.prompt_ids,
        "prompt": item.prompt,
        "inferred": item.inferred,
        "gaps": dict(item.gaps),
        "outcome": item.outcome or "",
        "reason": item.reason,
        "past_prompt_id": item.past_prompt_id,
        "settles": item.settles,
    }


def _wait_row(wait: OpenWait) -> dict[str, Any]:
    return {
        "asking": wait.asking,
        "use_id": wait.use_id,
        "digest": wait.digest,
        "subagent_id": wait.subagent_id,
        "tool_name": wait.tool_name,
        "text": wait.text,
    }


def _named_waits(before: Situation, after: Situation) -> list[Mapping[str, Any]]:
    known = {wait.id: wait for wait in before.waits}
    return [
        {"id": wait.id, "use_id": wait.use_id, "digest": wait.digest, "tool_name": wait.tool_name, "text": wait.text}
        for wait in after.waits
        if wait.id is not None and wait != known[wait.id]
    ]


def _session_over(change: Change) -> dict[str, str] | None:
    if not change.transition.session_over:
        return None
    after, delivery = change.transition.after, change.delivery
    origin = delivery.event.origin if delivery else None
    return {
        "session_id": origin.session_id if origin else after.session_id,
        "reason": change.transition.end_reason,
        "prompt_id": origin.prompt_id if origin else "",
    }


def _session_live(change: Change, before: Situation) -> str | None:
    """Return the session that is the agent's live one from now on, where that is another or lives again."""
    after = change.transition.after
    is_same = after.session_id == before.session_id and after.generation == before.generation
    return None if is_same else after.session_id
