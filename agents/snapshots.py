"""Rows into situations and back: the only place that knows how a situation is kept."""

from collections.abc import Mapping
from typing import Any

from agents.events import Asking, Process
from agents.situations import OpenCommand, OpenTool, OpenWait, Past, Situation
from agents.states import CommandState, Mode, Presence

Row = Mapping[str, Any]


def situation_of(found: Row) -> Situation:
    """Return the situation of what ``agents_situation`` found."""
    agent, working = found["agent"], found["agent"]["working"]
    return Situation(
        presence=Presence(agent["presence"]),
        mode=Mode(agent["mode"]),
        generation=agent["generation"],
        session_id=agent["session_id"],
        process=_process(agent),
        command=_command(found["command"]),
        waits=tuple(_wait(row) for row in found["waits"]),
        tools={key: OpenTool(*call) for key, *call in working.get("tools", ())},
        settled=tuple(working.get("settled", ())),
        subagents=tuple(working.get("subagents", ())),
        background=tuple(working.get("background", ())),
        past={key: Past(*known) for key, *known in working.get("past", ())},
        gaps=working.get("gaps", {}),
    )


def working_of(situation: Situation) -> dict[str, Any]:
    """Return what an agent's row keeps of a situation beside its own columns; only what is not empty."""
    kept = {
        # Lists, not objects: jsonb keeps no order of keys, and the newest call and the oldest prompt matter.
        "tools": [[key, call.name, call.digest, call.subagent_id] for key, call in situation.tools.items()],
        "settled": situation.settled,
        "subagents": situation.subagents,
        "background": situation.background,
        "past": [[key, known.weak, known.inferred] for key, known in situation.past.items()],
        "gaps": dict(situation.gaps),
    }
    return {key: value for key, value in kept.items() if value}


def _process(agent: Row) -> Process | None:
    if agent["pid"] is None:
        return None
    return Process(agent["pid"], agent["process_started"], agent["process_place"])


def _command(row: Row | None) -> OpenCommand | None:
    if row is None:
        return None
    return OpenCommand(
        row["id"], CommandState(row["state"]), tuple(row["prompt_ids"]), inferred=row["inferred"], gaps=row["gaps"]
    )


def _wait(row: Row) -> OpenWait:
    asking = Asking(row["asking"])
    return OpenWait(row["id"], asking, row["use_id"], row["digest"], row["subagent_id"], row["tool_name"])
