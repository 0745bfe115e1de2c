"""Rows as JSON."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from agents.models import Agent, Command, HookEvent, StateChange, Turn, Wait
from agents.standing import standing_of

_Row = dict[str, Any]


class WaitSerializer(serializers.ModelSerializer[Wait]):
    """Something that an agent asks a person."""

    class Meta:
        model = Wait
        fields = ("id", "asking", "use_id", "subagent_id", "tool_name", "text", "opened_at")


class AgentSerializer(serializers.ModelSerializer[Agent]):
    """One agent that was read with ``with_standing`` and its sessions."""

    host = serializers.CharField(source="host.name")
    project = serializers.CharField(source="project.name")
    session_ids = serializers.SerializerMethodField()
    state = serializers.SerializerMethodField()
    state_since = serializers.SerializerMethodField()
    command = serializers.SerializerMethodField()
    evidence = serializers.SerializerMethodField()
    waits = serializers.SerializerMethodField()
    window = serializers.SerializerMethodField()
    context_used_percent = serializers.FloatField()
    cost_usd = serializers.FloatField()

    class Meta:
        model = Agent
        fields = (
            "id",
            "vendor",
            "generation",
            "version",
            "session_id",
            "session_ids",
            "host",
            "project",
            "cwd",
            "model",
            "permission_mode",
            "presence",
            "state",
            "state_since",
            "reason",
            "command",
            "evidence",
            "mode",
            "ambiguous",
            "waits",
            "window",
            "context_used_percent",
            "cost_usd",
            "started_at",
            "last_seen_at",
            "ended_at",
            "end_reason",
            "parent",
            "predecessor",
        )

    def get_session_ids(self, agent: Agent) -> list[str]:
        """Return all its sessions, the first one first."""
        return [session.session_id for session in agent.sessions.all()]

    def get_state(self, agent: Agent) -> str:
        """Return the state of its open command, or idle."""
        return standing_of(agent).state.value

    def get_state_since(self, agent: Agent) -> str:
        """Return when it came into its state."""
        return _instant(standing_of(agent).since)

    def get_command(self, agent: Agent) -> int | None:
        """Return the number of its open command."""
        command = standing_of(agent).command
        return command.pk if command else None

    def get_evidence(self, agent: Agent) -> list[_Row]:
        """Return its witnesses: who says what, when, and how many seconds ago that was."""
        age = (timezone.now() - agent.last_seen_at).total_seconds()
        witnesses: list[_Row] = [
            {"witness": "hook", "says": agent.last_event, "at": _instant(agent.last_seen_at), "age_seconds": age}
        ]
        if agent.pid is not None:
            process = {"pid": agent.pid, "started": agent.process_started, "place": agent.process_place}
            witnesses.append({"witness": "process", "says": process, "at": None, "age_seconds": None})
        return witnesses

    def get_waits(self, agent: Agent) -> list[_Row]:
        """Return what it asks, the oldest question first."""
        return [dict(WaitSerializer(wait).data) for wait in standing_of(agent).waits]

    def get_window(self, agent: Agent) -> _Row | None:
        """Return until when it may work; null where nobody has set that."""
        return {"until": _instant(agent.window_until)} if agent.window_until else None


class CommandSerializer(serializers.ModelSerializer[Command]):
    """One instruction."""

    outcome = serializers.SerializerMethodField()

    class Meta:
        model = Command
        fields = (
            "id",
            "generation",
            "state",
            "prompt",
            "summary",
            "inferred",
            "gaps",
            "started_at",
            "completed_at",
            "outcome",
            "reason",
        )

    def get_outcome(self, command: Command) -> str | None:
        """Return how it ended; null while it is open."""
        return command.outcome or None


class TurnSerializer(serializers.ModelSerializer[Turn]):
    """One utterance."""

    class Meta:
        model = Turn
        fields = ("id", "command", "actor", "intent", "text", "summary", "said_at")


class EventSerializer(serializers.ModelSerializer[HookEvent]):
    """One hook as it came, without its payload."""

    class Meta:
        model = HookEvent
        fields = (
            "id",
            "vendor",
            "name",
            "session_id",
            "key",
            "sequence",
            "occurred_at",
            "received_at",
            "applied_at",
            "outcome",
            "answer",
            "size",
            "truncated",
        )


class ChangeSerializer(serializers.ModelSerializer[StateChange]):
    """One move of an agent or its command."""

    class Meta:
        model = StateChange
        fields = ("id", "command", "event", "before", "after", "trigger", "reason", "version", "changed_at")


def _instant(instant: datetime) -> str:
    """Return an instant as the other fields show theirs."""
    return str(serializers.DateTimeField().to_representation(instant))
