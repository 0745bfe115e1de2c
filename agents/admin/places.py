"""Hosts and projects in the admin."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from agents.admin.lists import ReadOnlyAdmin
from agents.models import Host, Project
from agents.states import Presence


@admin.register(Host)
class HostAdmin(ReadOnlyAdmin):
    """Machines; of a token only its first characters."""

    list_display = ("name", "token_hint", "living", "created_at", "rotated_at", "revoked_at")
    list_filter = (("revoked_at", EmptyFieldListFilter),)
    search_fields = ("name",)
    exclude = ("token_digest",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Host]:
        """Return hosts with the number of their living agents."""
        hosts: QuerySet[Host] = super().get_queryset(request)
        return hosts.annotate(living=Count("agents", filter=~Q(agents__presence=Presence.ENDED)))

    @admin.display(description="agents", ordering="living")
    def living(self, host: Any) -> int:
        """Return how many agents have not ended."""
        return int(host.living)


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    """Directories in which agents work."""

    list_display = ("name", "host", "root", "created_at")
    list_filter = ("host",)
    list_select_related = ("host",)
    search_fields = ("name", "root")
