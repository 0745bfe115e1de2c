"""What agents did and what was heard of them, in the admin."""

import json
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents.adapters import ADAPTERS
from agents.admin.lists import TEXT_SHOWN, HistoryAdmin, words
from agents.ages import spoken
from agents.cards import shortened
from agents.models import AgentSession, Command, HookEvent, Host, StateChange, Turn, Wait
from agents.states import CommandState, Presence

_PAYLOAD_SHOWN = 200_000
"""Characters."""


class AfterFilter(SimpleListFilter):
    """State changes by where they led."""

    title = "to"
    parameter_name = "after"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states of commands and agents."""
        return [(state.value, words(state)) for state in (*CommandState, *Presence)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the changes to the chosen state."""
        return queryset.filter(after=self.value()) if self.value() else queryset


class VendorFilter(SimpleListFilter):
    """Hooks by vendor: of those that are understood, for the journal not to be read to its end for their names."""

    title = "vendor"
    parameter_name = "vendor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the vendors that have an adapter."""
        return [(vendor, vendor) for vendor in sorted(ADAPTERS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the hooks of the chosen vendor."""
        return queryset.filter(vendor=self.value()) if self.value() in ADAPTERS else queryset


@admin.register(AgentSession)
class AgentSessionAdmin(HistoryAdmin):
    """Conversations of agents."""

    list_display = ("session_id", "whose", "host", "vendor", "started_at", "ended_at", "end_reason")
    list_filter = ("host", ("ended_at", EmptyFieldListFilter))
    list_select_related = ("agent__project", "host")


@admin.register(Command)
class CommandAdmin(HistoryAdmin):
    """Instructions."""

    list_display = ("started_at", "whose", "state", "outcome", "asked", "inferred", "completed_at")
    list_filter = ("state", "outcome", "inferred")
    search_help_text = f"{HistoryAdmin.search_help_text}; or words of the prompt"

    def found(self, agent_ids: list[int], text: str) -> Q:
        """Return the commands of these agents, and those with this prompt."""
        return Q(agent_id__in=agent_ids) | Q(prompt__icontains=text)

    @admin.display(description="prompt")
    def asked(self, command: Command) -> str:
        """Return what was asked."""
        return shortened(command.prompt, TEXT_SHOWN)


@admin.register(Turn)
class TurnAdmin(HistoryAdmin):
    """Utterances."""

    list_display = ("at", "whose", "actor", "intent", "said")
    list_filter = ("actor", "intent")

    @admin.display(description="said at")
    def at(self, turn: Turn) -> str:
        """Return when it was said."""
        return _second(turn.said_at)

    @admin.display(description="text")
    def said(self, turn: Turn) -> str:
        """Return what was said."""
        return shortened(turn.text, TEXT_SHOWN)


@admin.register(Wait)
class WaitAdmin(HistoryAdmin):
    """What agents waited for from people."""

    list_display = ("opened_at", "whose", "asking", "tool_name", "asked", "lasted", "closed_by")
    list_filter = (("closed_at", EmptyFieldListFilter), "asking")

    @admin.display(description="text")
    def asked(self, wait: Wait) -> str:
        """Return what was asked."""
        return shortened(wait.text, TEXT_SHOWN)

    @admin.display
    def lasted(self, wait: Wait) -> str:
        """Return how long it waited, or has waited so far."""
        return spoken((wait.closed_at or timezone.now()) - wait.opened_at)


@admin.register(HookEvent)
class HookEventAdmin(HistoryAdmin):
    """The journal."""

    list_display = ("at", "name", "whose", "outcome", "host", "vendor", "size", "truncated")
    list_filter = ("outcome", VendorFilter, "host", "truncated")
    list_select_related = ("agent__project", "host")
    search_help_text = f"{HistoryAdmin.search_help_text}; or an event key"
    exclude = ("payload", "headers", "answer")
    readonly_fields = ("as_sent", "told", "answered")

    def get_queryset(self, request: HttpRequest) -> QuerySet[HookEvent]:
        """Return events without what they carried, which is read when one is shown."""
        return super().get_queryset(request).defer("payload", "headers", "answer")

    def found(self, agent_ids: list[int], text: str) -> Q:
        """Return the hooks of these agents, and the one with this key."""
        # With the hosts, because that is what the index on keys begins with.
        hosts = list(Host.objects.values_list("pk", flat=True))
        return Q(agent_id__in=agent_ids) | Q(host_id__in=hosts, key=text)

    @admin.display(description="received at")
    def at(self, event: HookEvent) -> str:
        """Return when it was received."""
        return _second(event.received_at)

    @admin.display(description="payload")
    def as_sent(self, event: HookEvent) -> SafeString:
        """Return the payload, readable."""
        return _pretty(event.payload)

    @admin.display(description="headers")
    def told(self, event: HookEvent) -> SafeString:
        """Return what the client told of itself."""
        return _pretty(event.headers)

    @admin.display(description="answer")
    def answered(self, event: HookEvent) -> SafeString:
        """Return the decision that was sent."""
        return _pretty(event.answer)


@admin.register(StateChange)
class StateChangeAdmin(HistoryAdmin):
    """Moves of agents and their commands."""

    list_display = ("at", "whose", "before", "after", "trigger", "why", "version")
    list_filter = (AfterFilter,)

    @admin.display(description="changed at")
    def at(self, change: StateChange) -> str:
        """Return when it moved."""
        return _second(change.changed_at)

    @admin.display(description="reason")
    def why(self, change: StateChange) -> str:
        """Return what it rests on."""
        return shortened(change.reason, TEXT_SHOWN)


def _second(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"


def _pretty(value: Any) -> SafeString:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    cut = f"\n… {len(text) - _PAYLOAD_SHOWN} more characters" if len(text) > _PAYLOAD_SHOWN else ""
    return format_html("<pre>{}{}</pre>", text[:_PAYLOAD_SHOWN], cut)
