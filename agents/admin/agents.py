"""Agents in the admin, by state, with age and reason."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter, SimpleListFilter
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from agents.admin.lists import TEXT_SHOWN, ReadOnlyAdmin, ago, words
from agents.cards import name_of, shortened
from agents.models import Agent, AgentSession, Command, HookEvent, StateChange, Turn, Wait
from agents.selection import in_state, matching
from agents.standing import standing_of, with_standing
from agents.states import CommandState

_OPEN_STATES = [state for state in CommandState if state is not CommandState.COMPLETE]


class StateFilter(SimpleListFilter):
    """Agents by the state of their open command."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states that an agent can be in."""
        return [(state.value, words(state)) for state in _OPEN_STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> QuerySet[Agent]:
        """Return the agents in the chosen state."""
        chosen = self.value()
        return in_state(queryset, CommandState(chosen)) if chosen in _OPEN_STATES else queryset


@admin.register(Agent)
class AgentAdmin(ReadOnlyAdmin):
    """Agents by state, with age and reason."""

    list_display = ("named", "state", "age", "why", "presence", "mode", "doubt", "host", "vendor", "heard")
    list_filter = (StateFilter, "presence", "mode", ("ambiguous", EmptyFieldListFilter), "host")
    date_hierarchy = "started_at"
    search_fields = ("project__name",)
    search_help_text = "Words of project, host, directory, model, session or open prompt; or #12"
    readonly_fields = ("state", "age", "history")
    fieldsets = (
        (None, {"fields": ("state", "age", "reason", "presence", "mode", "ambiguous", "history")}),
        ("Who and where", {"fields": ("project", "host", "cwd", "vendor", "model", "permission_mode")}),
        (
            "Life",
            {"fields": ("started_at", "last_seen_at", "last_event", "ended_at", "end_reason", "generation", "version")},
        ),
        ("Traces", {"fields": ("session_id", "transcript_path", "pid", "process_started", "process_place", "pane")}),
        ("Limits and use", {"fields": ("window_until", "context_used_percent", "cost_usd")}),
        ("Kin", {"fields": ("parent", "predecessor")}),
        ("For the rules", {"fields": ("working",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        """Return agents with where they stand."""
        return with_standing(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Agent], search_term: str
    ) -> tuple[QuerySet[Agent], bool]:
        """Return the agents that match, as on the page."""
        return matching(queryset, search_term), False

    def view_on_site(self, obj: Model) -> str:
        """Return the agent's page."""
        return reverse("agent", args=[obj.pk])

    @admin.display(description="agent", ordering="pk")
    def named(self, agent: Agent) -> str:
        """Return what people call it."""
        return name_of(agent)

    @admin.display
    def state(self, agent: Agent) -> str:
        """Return the state of its open command, or idle."""
        return words(standing_of(agent).state)

    @admin.display
    def age(self, agent: Agent) -> str:
        """Return how long it is in its state."""
        return ago(standing_of(agent).since)

    @admin.display(description="reason")
    def why(self, agent: Agent) -> str:
        """Return why it is in its state."""
        return shortened(agent.reason, TEXT_SHOWN)

    @admin.display(description="ambiguous")
    def doubt(self, agent: Agent) -> str:
        """Return why what is shown cannot be trusted."""
        return shortened(agent.ambiguous or "", TEXT_SHOWN)

    @admin.display(ordering="last_seen_at")
    def heard(self, agent: Agent) -> str:
        """Return when something was heard of it last."""
        return f"{ago(agent.last_seen_at)} ago"

    @admin.display
    def history(self, agent: Agent) -> SafeString:
        """Return links to its rows."""
        models = (AgentSession, Command, Turn, Wait, StateChange, HookEvent)
        links = ((_list_of(model, agent), model._meta.verbose_name_plural) for model in models)
        return format_html_join(" · ", '<a href="{}">{}</a>', links)


def _list_of(model: type[Model], agent: Agent) -> str:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?agent__id__exact={agent.pk}"
