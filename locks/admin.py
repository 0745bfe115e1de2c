"""The counts of what went badly, for operators; they are facts and can not be edited."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from locks.counts import KINDS
from locks.models import Minute

if TYPE_CHECKING:
    CountsAdmin = admin.ModelAdmin[Minute]
else:
    CountsAdmin = admin.ModelAdmin


_SPANS = {"1": "the last hour", "6": "the last 6 hours", "12": "the last 12 hours"}
"""Hours; a day is kept."""


class TimeFilter(SimpleListFilter):
    """Minutes by how long ago they were."""

    title = "time"
    parameter_name = "hours"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the spans that can be chosen."""
        return list(_SPANS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Minute]) -> QuerySet[Minute]:
        """Return the minutes of the chosen span."""
        hours = self.value()
        if hours not in _SPANS:
            return queryset
        return queryset.filter(minute__gte=timezone.now() - timedelta(hours=int(hours)))


@admin.register(Minute)
class MinuteAdmin(CountsAdmin):
    """Counts by the minute, read-only."""

    list_display = ["minute", *KINDS]
    list_filter = [TimeFilter]
    date_hierarchy = "minute"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds what was not counted."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Minute | None = None) -> bool:
        """Nobody changes what was counted."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Minute | None = None) -> bool:
        """They go by themselves after a day."""
        return False
