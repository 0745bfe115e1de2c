"""What was heard and what moved: append-only."""

import pgtrigger
from django.db import models
from django.db.models import F, Q

from agents.models.agent import Agent
from agents.models.command import Command, of_its_agent
from agents.models.constraints import never_emptied
from agents.models.host import Host
from agents.states import CommandState, Presence

MOVED = [word.value for word in (*CommandState, *Presence)]
"""Between what something moves: states of a command, and an agent's presence."""


class HookOutcome(models.TextChoices):
    """What became of a hook."""

    APPLIED = "applied"
    PENDING = "pending"
    DUPLICATE = "duplicate"
    LATE = "late"
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"


class HookEvent(models.Model):
    """Journal and inbox in one: every hook as it came. One row per event key."""

    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="events")
    agent = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.PROTECT, related_name="events")
    vendor = models.CharField(max_length=40)
    session_id = models.CharField(max_length=200, blank=True)
    name = models.CharField(max_length=100, blank=True, help_text="The vendor's name of the moment.")
    key = models.CharField(
        max_length=255, help_text="The event key: the client's, or a digest of the content in its time."
    )
    sequence = models.BigIntegerField(null=True, blank=True, help_text="The client's own count, per host.")
    headers = models.JSONField(default=dict, help_text="What the client told of its process.")
    occurred_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=12, choices=HookOutcome)
    answer = models.JSONField(null=True, blank=True, help_text="The decision that was sent, to be sent again.")
    payload = models.JSONField(default=dict)
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes of the body as it came.")
    truncated = models.BooleanField(default=False)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["agent", "id"], name="event_by_agent"),
            models.Index(fields=["agent", "id"], condition=Q(outcome="pending"), name="event_pending"),
            models.Index(
                fields=["host", "session_id"],
                condition=Q(outcome="pending", agent__isnull=True),
                name="event_pending_without_agent",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["host", "key"], name="event_one_row_per_key"),
            models.CheckConstraint(condition=Q(outcome__in=HookOutcome.values), name="event_outcome_known"),
            models.CheckConstraint(
                condition=(Q(outcome="pending") & Q(applied_at__isnull=True))
                | (~Q(outcome="pending") & Q(applied_at__isnull=False)),
                name="event_pending_is_not_applied",
            ),
        ]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Delete),
            never_emptied(),
            pgtrigger.Protect(
                name="heard_is_heard",
                operation=pgtrigger.UpdateOf(
                    "host_id", "vendor", "session_id", "name", "key", "payload", "received_at"
                ),
            ),
            pgtrigger.Protect(
                name="applied_once", operation=pgtrigger.Update, condition=~pgtrigger.Q(old__outcome="pending")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"


class StateChange(models.Model):
    """A move of an agent or its command, with what it rests on."""

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="changes")
    command = models.ForeignKey(
        Command, null=True, blank=True, on_delete=models.PROTECT, related_name="changes", db_constraint=False
    )
    event = models.ForeignKey(HookEvent, null=True, blank=True, on_delete=models.PROTECT, related_name="changes")
    before = models.CharField(max_length=20)
    after = models.CharField(max_length=20)
    trigger = models.CharField(max_length=100)
    reason = models.TextField(blank=True)
    version = models.PositiveBigIntegerField(help_text="The agent's version that it led to.")
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["agent", "-id"], name="change_by_agent")]
        constraints = [
            of_its_agent("change_command_is_its_agents"),
            models.CheckConstraint(condition=Q(before__in=MOVED), name="change_before_known"),
            models.CheckConstraint(condition=Q(after__in=MOVED), name="change_after_known"),
            models.CheckConstraint(condition=~Q(before=F("after")) | Q(trigger="gap"), name="change_changes_something"),
        ]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete),
            never_emptied(),
        ]

    def __str__(self) -> str:
        return f"{self.before} → {self.after}"
