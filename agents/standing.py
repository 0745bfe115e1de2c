"""Agents with what they work on and what they wait for: three queries, however many agents."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Prefetch, QuerySet
from django.db.models.functions import JSONObject, Left

from agents.models import Agent, Command, StateChange, Wait
from agents.states import CommandState, Outcome

_PROMPT_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Latest:
    """The command of an agent that began last, open or not."""

    prompt: str
    """Its first few hundred characters."""
    inferred: bool
    outcome: Outcome | None
    completed_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """One agent, where it stands."""

    agent: Agent
    command: Command | None
    """The open one."""
    waits: tuple[Wait, ...]
    """The open ones, the oldest first."""
    latest: Latest | None
    since: datetime
    """When it came into its state."""
    moved_by: str
    """What moved its last command last; empty where none has moved."""

    @property
    def state(self) -> CommandState:
        """The state of its open command, or idle."""
        return CommandState(self.command.state) if self.command else CommandState.IDLE


def with_standing(agents: QuerySet[Agent]) -> QuerySet[Agent]:
    """Return the same agents, to be read with all that ``standing_of`` needs."""
    # A subquery that stops at its index's first entry costs less than reading an agent's whole past to find its end.
    return (
        agents.select_related("host", "project")
        .defer("working")
        .annotate(latest=_latest(), last_move=_last_move())
        .prefetch_related(
            Prefetch("commands", Command.objects.open(), to_attr="open_commands"),
            Prefetch("waits", Wait.objects.filter(closed_at=None).order_by("opened_at", "pk"), to_attr="open_waits"),
        )
    )


def _latest() -> QuerySet[Command, Any]:
    fields = ("inferred", "outcome", "completed_at", "reason")
    row = JSONObject(prompt=Left("prompt", _PROMPT_SHOWN), **{name: name for name in fields})
    return Command.objects.filter(agent=OuterRef("pk")).order_by("-started_at", "-pk").values(row=row)[:1]


def _last_move() -> QuerySet[StateChange, Any]:
    moves = StateChange.objects.filter(agent=OuterRef("pk"), command__isnull=False).exclude(trigger="gap")
    return moves.order_by("-pk").values(row=JSONObject(at="changed_at", trigger="trigger"))[:1]


def standing_of(agent: Agent) -> Standing:
    """Return where an agent stands that was read with ``with_standing``."""
    read: Any = agent
    move = read.last_move or {}
    moved_at = datetime.fromisoformat(move["at"]) if move else agent.started_at
    return Standing(
        agent=agent,
        command=read.open_commands[0] if read.open_commands else None,
        waits=tuple(read.open_waits),
        latest=_read_latest(read.latest) if read.latest else None,
        since=agent.ended_at or moved_at,
        moved_by=move.get("trigger", ""),
    )


def _read_latest(row: dict[str, Any]) -> Latest:
    completed_at = row["completed_at"]
    return Latest(
        prompt=row["prompt"],
        inferred=row["inferred"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        completed_at=datetime.fromisoformat(completed_at) if completed_at else None,
        reason=row["reason"],
    )
