"""What an agent was told, what was said, and what it waits for."""

from typing import Self

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from agents.events import Asking
from agents.models.agent import Agent
from agents.states import Actor, CommandState, Intent, Outcome


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
        ]

    def __str__(self) -> str:
        return self.summary or self.prompt[:80] or f"command {self.pk}"


class Turn(models.Model):
    """One utterance; append-only, but for what is later written about it."""

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="turns")
    command = models.ForeignKey(Command, on_delete=models.PROTECT, related_name="turns")
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
            models.UniqueConstraint(fields=["agent", "entry_id"], name="turn_one_per_transcript_entry"),
            models.CheckConstraint(condition=Q(actor__in=[a.value for a in Actor]), name="turn_actor_known"),
            models.CheckConstraint(condition=Q(intent__in=[i.value for i in Intent]), name="turn_intent_known"),
        ]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Delete),
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
    command = models.ForeignKey(Command, on_delete=models.PROTECT, related_name="waits")
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
            models.UniqueConstraint(
                fields=["agent", "use_id"],
                condition=Q(closed_at__isnull=True) & ~Q(use_id=""),
                name="wait_one_open_per_call",
            ),
            models.CheckConstraint(condition=Q(asking__in=[a.value for a in Asking]), name="wait_asking_known"),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True) | Q(closed_at__gte=F("opened_at")), name="wait_closed_after_opened"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asking} {self.tool_name}"
