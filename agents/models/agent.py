"""One coding agent, across its sessions."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

import pgtrigger
from django.db import models
from django.db.models import F, Q

from agents.models.constraints import JointForeignKey, at_commit
from agents.models.host import Host, Project
from agents.states import CommandState, Mode, Presence
from locks import LockingQuerySet, LockNamespace

if TYPE_CHECKING:
    from agents.models.command import Command


class AgentQuerySet(LockingQuerySet["Agent"]):
    """Agents by what an operator or a cycle asks for."""

    lock_namespace = LockNamespace.AGENT

    def alive(self) -> Self:
        """Return those that are not known to have ended."""
        return self.exclude(presence=Presence.ENDED)

    def silent_since(self, instant: datetime) -> Self:
        """Return those that have not ended and were not heard since ``instant``, the longest silence first."""
        return self.alive().filter(last_seen_at__lt=instant).order_by("last_seen_at")

    def pending(self) -> Self:
        """Return those whose inbox holds events that wait to be applied."""
        return self.filter(events__outcome="pending").distinct()


class Agent(models.Model):
    """One coding agent. Its state is that of its open command; without one it is idle."""

    vendor = models.CharField(max_length=40)
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="agents")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="agents")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    predecessor = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="successors")
    generation = models.PositiveIntegerField(
        default=1, help_text="Which incarnation this is; a resume begins a new one."
    )
    version = models.PositiveBigIntegerField(default=0, help_text="Rises with everything that is applied to it.")
    session_id = models.CharField(max_length=200, help_text="The vendor's id of the current conversation.")
    cwd = models.CharField(max_length=4096, blank=True)
    transcript_path = models.CharField(max_length=4096, blank=True)
    model = models.CharField(max_length=200, blank=True)
    permission_mode = models.CharField(max_length=100, blank=True)
    pid = models.BigIntegerField(null=True, blank=True)
    process_started = models.CharField(max_length=40, blank=True)
    process_place = models.CharField(max_length=120, blank=True)
    pane = models.CharField(max_length=255, blank=True)
    presence = models.CharField(max_length=10, choices=[(p.value, p.value) for p in Presence], default=Presence.ALIVE)
    mode = models.CharField(max_length=10, choices=[(m.value, m.value) for m in Mode], default=Mode.RUN)
    ambiguous = models.TextField(null=True, blank=True, help_text="Why what is shown cannot be trusted.")  # noqa: DJ001
    reason = models.TextField(blank=True, help_text="Why the agent is in its state.")
    working = models.JSONField(default=dict, help_text="What the rules keep: calls under way, subagents, past prompts.")
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    last_event = models.CharField(max_length=100, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=200, blank=True)
    window_until = models.DateTimeField(null=True, blank=True)
    context_used_percent = models.DecimalField(max_digits=5, decimal_places=2, null=True, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering = ["-last_seen_at"]
        indexes = [
            # The reaper's candidates; also "who was silent longest" on the page.
            models.Index(fields=["last_seen_at"], condition=~Q(presence="ended"), name="agent_alive_by_last_seen"),
            models.Index(
                fields=["host", "pid"], condition=Q(pid__isnull=False) & ~Q(presence="ended"), name="agent_by_process"
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(presence__in=[p.value for p in Presence]), name="agent_presence_known"),
            models.CheckConstraint(condition=Q(mode__in=[m.value for m in Mode]), name="agent_mode_known"),
            models.CheckConstraint(
                condition=Q(presence="ended", ended_at__isnull=False)
                | (~Q(presence="ended") & Q(ended_at__isnull=True)),
                name="agent_ended_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")), name="agent_ended_after_start"
            ),
            models.CheckConstraint(condition=Q(last_seen_at__gte=F("started_at")), name="agent_seen_after_start"),
            models.CheckConstraint(condition=Q(generation__gte=1), name="agent_generation_counts_from_one"),
            models.CheckConstraint(condition=~Q(parent=F("id")), name="agent_is_not_its_own_parent"),
            models.CheckConstraint(condition=~Q(ambiguous=""), name="agent_ambiguous_says_why"),
            JointForeignKey(
                fields=["id", "session_id"],
                to="agents.AgentSession",
                to_fields=["agent", "session_id"],
                name="agent_session_is_its_own",
            ),
        ]
        triggers = [
            # The other half is a command's ``agent_is_there``.
            at_commit(
                "ended_leaves_nothing_open",
                pgtrigger.Update,
                ~pgtrigger.Q(old__presence="ended") & pgtrigger.Q(new__presence="ended"),
                broken=(
                    "EXISTS (SELECT FROM agents_agent a JOIN agents_command c ON c.agent_id = a.id "
                    "WHERE a.id = NEW.id AND a.presence = 'ended' AND c.state <> 'complete')"
                ),
                says="An agent has ended, and a command of it is open.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.vendor} {self.pk}"

    @property
    def open_command(self) -> "Command | None":
        """The instruction that it works on."""
        return self.commands.open().first()

    @property
    def state(self) -> str:
        """The state of its open command, or idle."""
        command = self.open_command
        return command.state if command else CommandState.IDLE


class AgentSession(models.Model):
    """One conversation of an agent, by its vendor's id. A session belongs to one agent for ever."""

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="sessions")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="sessions")
    vendor = models.CharField(max_length=40)
    session_id = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=200, blank=True)
    end_prompt_id = models.CharField(
        max_length=200, blank=True, help_text="The prompt that ended it: it also begins what follows."
    )

    class Meta:
        ordering = ["started_at", "pk"]
        indexes = [models.Index(fields=["host", "end_prompt_id"], name="session_by_end_prompt")]
        constraints = [
            models.UniqueConstraint(fields=["host", "vendor", "session_id"], name="session_has_one_agent"),
            # Says no more than the one before about a vendor's sessions; what an agent's own session refers to.
            models.UniqueConstraint(fields=["agent", "session_id"], name="session_once_per_agent"),
            models.UniqueConstraint(
                fields=["agent"], condition=Q(ended_at__isnull=True), name="session_one_live_per_agent"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")), name="session_ended_after_start"
            ),
        ]

    def __str__(self) -> str:
        return self.session_id
