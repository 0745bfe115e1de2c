"""The counts of what went badly, for operators; they are facts and can not be edited."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from locks.counts import KINDS
from locks.models import Minute

if TYPE_CHECKING:
    CountsAdmin = admin.ModelAdmin[Minute]
else:
    CountsAdmin = admin.ModelAdmin


@admin.register(Minute)
class MinuteAdmin(CountsAdmin):
    """Counts by the minute, read-only."""

    list_display = ["minute", *KINDS]
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
