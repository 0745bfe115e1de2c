"""The lock monitor over HTTP: as JSON, and as a page that refreshes itself."""

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views import View
from rest_framework.exceptions import APIException
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from locks.errors import MonitorTimeout
from locks.monitor import last_hour, snapshot
from locks.picture import draw
from locks.snapshots import Lock, Snapshot
from locks.wait_tree import wait_trees

_MOST_ROWS = 100
_MOST_INCIDENTS = 20


class MonitorBusy(APIException):
    """The database did not say in time who holds what."""

    status_code = 503
    default_code = "monitor_timeout"
    default_detail = "The database was too busy to say who holds which lock. Try again in a moment."
    wait = 2
    """Seconds, for ``Retry-After``; the framework reads this name."""


class LocksView(APIView):
    """`GET /api/advisory-locks`: who holds and who waits."""

    # Whatever the project allows by default.
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        """Return all advisory locks of the database; 503 where it does not answer in time."""
        try:
            return Response(snapshot().as_json())
        except MonitorTimeout as error:
            raise MonitorBusy from error


class LocksPage(LoginRequiredMixin, View):
    """`/locks/`: who is in whose way, and how it was lately.

    With ``?part`` only what changes, for the page's own refreshing.
    """

    def get(self, request: HttpRequest) -> HttpResponse:
        """Render the page, with 503 where the database does not answer in time."""
        template = "locks/_locks.html" if "part" in request.GET else "locks/locks.html"
        try:
            shown = _shown(snapshot())
        except MonitorTimeout as error:
            return render(request, template, {"failure": str(error)}, status=503)
        return render(request, template, shown)


def _shown(seen: Snapshot) -> dict[str, Any]:
    """Return what the page is made of."""
    now = timezone.now()
    return {
        "snapshot": seen,
        "jams": [tree for tree in wait_trees(seen) if tree.children],
        "rows": sorted(seen.locks, key=_urgency)[:_MOST_ROWS],
        "picture": draw(last_hour(now), now),
        "incidents": seen.incidents[:_MOST_INCIDENTS],
    }


def _urgency(lock: Lock) -> int:
    """Return what comes first: who waits or is in the way, then what nobody accounts for, then the rest."""
    if not lock.seen.raw.granted or lock.blocks:
        return 0
    return 1 if lock.ghost else 2
