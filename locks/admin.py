"""What is kept about locks, for operators; these are facts and can not be edited."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from locks.incidents import KINDS
from locks.models import Incident, Minute, Termination, Timing

if TYPE_CHECKING:
    FactsAdmin = admin.ModelAdmin[Model]
else:
    FactsAdmin = admin.ModelAdmin


_SPANS = {"1": "the last hour", "6": "the last 6 hours", "12": "the last 12 hours"}
"""Hours; a day is kept."""


class TimeFilter(SimpleListFilter):
    """Rows by how long ago it was."""

    title = "time"
    parameter_name = "hours"
    column = ""
    """When it was."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the spans that can be chosen."""
        return list(_SPANS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen span."""
        hours = self.value()
        if hours not in _SPANS:
            return queryset
        return queryset.filter(**{f"{self.column}__gte": timezone.now() - timedelta(hours=int(hours))})


class MinuteFilter(TimeFilter):
    """Of minutes."""

    column = "minute"


class AtFilter(TimeFilter):
    """Of what happened at an instant."""

    column = "at"


class ReadOnlyAdmin(FactsAdmin):
    """Rows that can be looked at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds what did not happen."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody changes what happened."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """What goes, goes by itself."""
        return False


@admin.register(Minute)
class MinuteAdmin(ReadOnlyAdmin):
    """Counts by the minute."""

    list_display = ["minute", *KINDS, "waited_seconds", "longest_wait", "untold"]
    list_filter = [MinuteFilter]
    date_hierarchy = "minute"


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    """Single times that it went badly."""

    list_display = ["at", "kind", "sentence", "correlation_id"]
    list_filter = ["kind", AtFilter]
    search_fields = ["asker", "holder", "name", "correlation_id"]


@admin.register(Timing)
class TimingAdmin(ReadOnlyAdmin):
    """How many waits and holds were that long."""

    list_display = ["namespace", "what", "bound", "count", "seconds"]
    list_filter = ["what", "namespace"]
    search_fields = ["what"]


@admin.register(Termination)
class TerminationAdmin(ReadOnlyAdmin):
    """Who ended whose session, and what came of it."""

    list_display = ["asked_at", "by", "pid", "holder", "outcome", "reason"]
    list_filter = ["outcome", "asked_at"]
    search_fields = ["by", "holder", "reason"]
    date_hierarchy = "asked_at"
