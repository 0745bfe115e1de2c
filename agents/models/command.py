"""What an agent was told, what was said, and what it waits for."""

from typing import Self

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from agents.events import Asking
from agents.models.agent import Agent
from agents.models.constraints import JointForeignKey, at_commit, never_emptied
from agents.states import Actor, CommandState, Intent, Outcome


def of_its_agent(name: str) -> JointForeignKey:
    """Return the foreign key to a command that is checked instead of the plain one: the command is the same agent's."""
    return JointForeignKey(fields=["command", "agent"], to="agents.Command", to_fields=["id", "agent"], name=name)


class CommandQuerySet(models.QuerySet["Command"]):
    """Commands by where they are."""

    def open(self) -> Self:
        """Return those that are not complete."""
        return self.exclude(state=CommandState.COMPLETE)


class Command(models.Model):
    """One instruction; at most one of an agent is open."""

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="commands")
    generation = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=20, choices=[(s.value, s.value) for s in CommandState])
    prompt = models.TextField(blank=True)
    prompt_ids = ArrayField(
        models.CharField(max_length=200), default=list, help_text="The vendor's ids of its prompts."
    )
    summary = models.TextField(blank=True)
    inferred = models.BooleanField(
        default=False, help_text="Its prompt was not seen; what the agent did shows that it was given."
    )
    gaps = models.JSONField(default=dict, help_text="What its events lack: key to sentence.")
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, blank=True, choices=[(o.value, o.value) for o in Outcome])
    reason = models.TextField(blank=True, help_text="What its end was concluded from.")

    objects = CommandQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-pk"]
        indexes = [models.Index(fields=["agent", "-started_at"], name="command_by_agent")]
        constraints = [
            # The primary key says more; this is what turns, waits and changes refer to.
            models.UniqueConstraint(fields=["id", "agent"], name="command_has_one_agent"),
            models.UniqueConstraint(
                fields=["agent"], condition=~Q(state="complete"), name="command_one_open_per_agent"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["commanded", "processing", "awaiting_input", "complete"]),
                name="command_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state="complete", completed_at__isnull=False)
                | (~Q(state="complete") & Q(completed_at__isnull=True)),
                name="command_complete_has_its_time",
            ),
            models.CheckConstraint(
                condition=(Q(state="complete") & Q(outcome__in=[o.value for o in Outcome]))
                | (~Q(state="complete") & Q(outcome="")),
                name="command_complete_has_an_outcome",
            ),
            models.CheckConstraint(
                condition=Q(completed_at__isnull=True) | Q(completed_at__gte=F("started_at")),
                name="command_completed_after_start",
            ),
        ]
        triggers = [
            # C1: whatever writes, a command that is complete stays complete.
            pgtrigger.Protect(
                name="complete_is_terminal",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__state="complete") & ~pgtrigger.Q(new__state="complete"),
            ),
            at_commit(
                "agent_is_there",
                pgtrigger.Insert | pgtrigger.UpdateOf("agent_id"),
                ~pgtrigger.Q(new__state="complete"),
                broken=(
                    "EXISTS (SELECT FROM agents_command WHERE id = NEW.id AND state <> 'complete') AND NOT EXISTS "
                    "(SELECT FROM agents_agent WHERE id = NEW.agent_id AND presence <> 'ended' FOR SHARE)"
                ),
                says="A command is open, and its agent has ended.",
            ),
            # The other half is a wait's ``open_is_awaited``.
            at_commit(
                "moves_on_when_nobody_is_asked",
                pgtrigger.Update,
                pgtrigger.Q(old__state="awaiting_input") & ~pgtrigger.Q(new__state="awaiting_input"),
                broken=(
                    "EXISTS (SELECT FROM agents_wait w JOIN agents_command c ON c.id = w.command_id "
                    "WHERE c.id = NEW.id AND c.state <> 'awaiting_input' AND w.closed_at IS NULL)"
                ),
                says="A command does not await input, and a wait of it is open.",
            ),
        ]

    def __str__(self) -> str:
        return self.summary or self.prompt[:80] or f"command {self.pk}"


class Turn(models.Model):
    """One utterance; append-only, but for what is later written about it."""

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="turns")
    command = models.ForeignKey(Command, on_delete=models.PROTECT, related_name="turns", db_constraint=False)
    actor = models.CharField(max_length=10, choices=[(a.value, a.value) for a in Actor])
    intent = models.CharField(max_length=20, choices=[(i.value, i.value) for i in Intent])
    text = models.TextField()
    entry_id = models.CharField(  # noqa: DJ001 - many turns have none, and it is unique
        max_length=200, null=True, blank=True, help_text="The id of its entry in the transcript."
    )
    summary = models.TextField(blank=True)
    said_at = models.DateTimeField()

    class Meta:
        ordering = ["said_at", "pk"]
        indexes = [models.Index(fields=["agent", "-said_at"], name="turn_by_agent")]
        constraints = [
            of_its_agent("turn_command_is_its_agents"),
            models.UniqueConstraint(fields=["agent", "entry_id"], name="turn_one_per_transcript_entry"),
            models.CheckConstraint(condition=Q(actor__in=[a.value for a in Actor]), name="turn_actor_known"),
            models.CheckConstraint(condition=Q(intent__in=[i.value for i in Intent]), name="turn_intent_known"),
        ]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Delete),
            never_emptied(),
            pgtrigger.Protect(
                name="said_is_said",
                operation=pgtrigger.UpdateOf("agent_id", "command_id", "actor", "intent", "text", "said_at"),
            ),
        ]

    def __str__(self) -> str:
        return self.text[:80]


class Wait(models.Model):
    """Something that a person is asked, by the call that it is about."""

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="waits")
    command = models.ForeignKey(Command, on_delete=models.PROTECT, related_name="waits", db_constraint=False)
    asking = models.CharField(max_length=20, choices=[(a.value, a.value) for a in Asking])
    use_id = models.CharField(
        max_length=200, blank=True, help_text="The vendor's id of the call; empty when none was seen."
    )
    digest = models.CharField(max_length=64, blank=True)
    subagent_id = models.CharField(max_length=200, blank=True)
    tool_name = models.CharField(max_length=200, blank=True)
    text = models.TextField(blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ["opened_at", "pk"]
        indexes = [models.Index(fields=["agent"], condition=Q(closed_at__isnull=True), name="wait_open_by_agent")]
        constraints = [
            of_its_agent("wait_command_is_its_agents"),
            models.UniqueConstraint(
                fields=["agent", "use_id"],
                condition=Q(closed_at__isnull=True) & ~Q(use_id=""),
                name="wait_one_open_per_call",
            ),
            models.CheckConstraint(condition=Q(asking__in=[a.value for a in Asking]), name="wait_asking_known"),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True) | Q(closed_at__gte=F("opened_at")), name="wait_closed_after_opened"
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, closed_by="") | (Q(closed_at__isnull=False) & ~Q(closed_by="")),
                name="wait_closed_says_by_what",
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="closed_is_terminal",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__closed_at__isnull=False, new__closed_at__isnull=True),
            ),
            at_commit(
                "open_is_awaited",
                pgtrigger.Insert | pgtrigger.UpdateOf("command_id"),
                pgtrigger.Q(new__closed_at__isnull=True),
                broken=(
                    "EXISTS (SELECT FROM agents_wait WHERE id = NEW.id AND closed_at IS NULL) AND NOT EXISTS "
                    "(SELECT FROM agents_command WHERE id = NEW.command_id AND state = 'awaiting_input' FOR SHARE)"
                ),
                says="A wait is open, and its command does not await input.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asking} {self.tool_name}"
