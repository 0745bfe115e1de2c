"""What the admin's lists have in common: nothing can be changed, and the longest of them open at once."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents.ages import spoken
from agents.cards import name_of
from agents.models import Agent
from agents.selection import matching, plain

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _Paginator = Paginator

_COUNTED_AT_MOST = 10_000
_AGENTS_SEARCHED = 1_000
TEXT_SHOWN = 120
"""Characters of a text in a list."""


class ReadOnlyAdmin(_ModelAdmin):
    """Lists and shows rows."""

    actions = None
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False


class BoundedPaginator(_Paginator):
    """Counts so far as somebody turns pages: counting a journal to its end takes longer than reading it."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, or that there are more than anybody pages through."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: _COUNTED_AT_MOST + 1].count())


class HistoryAdmin(ReadOnlyAdmin):
    """Rows of agents, of which there may be millions: in the order of their keys, found by agent."""

    paginator = BoundedPaginator
    ordering = ("-pk",)
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    list_select_related: ClassVar[tuple[str, ...]] = ("agent__project",)
    search_fields = ("agent__project__name",)
    search_help_text = "Words of an agent: project, host, directory, session; or #12"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows of the agents that match."""
        if not plain(search_term):
            return queryset, False
        # The agents first, for the rows then to be found by index.
        agents = matching(Agent.objects.order_by(), search_term).values_list("pk", flat=True)
        return queryset.filter(self.found(list(agents[:_AGENTS_SEARCHED]), plain(search_term))), False

    def found(self, agent_ids: list[int], text: str) -> Q:
        """Return which rows a search shows."""
        return Q(agent_id__in=agent_ids)

    @admin.display(description="agent")
    def whose(self, row: Any) -> SafeString | str:
        """Return the agent, linked to its page."""
        return _agent_link(row.agent) if row.agent else "-"


def _agent_link(agent: Agent) -> SafeString:
    return format_html('<a href="{}">{}</a>', reverse("agent", args=[agent.pk]), name_of(agent))


def words(name: str) -> str:
    """Return a name as words."""
    return name.replace("_", " ")


def ago(instant: datetime) -> str:
    """Return how long ago an instant was."""
    return spoken(timezone.now() - instant)
