"""Numbers for Prometheus: what the rows say now, and what this process needs.

Each web process answers for itself, so the process's own numbers are those of the one that was asked; those of the
rows are the same everywhere.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Max, Min, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.events import Asking
from agents.models import Agent, Command, HookEvent, Wait
from agents.models.journal import HookOutcome
from agents.states import CommandState, Presence
from locks.errors import MonitorTimeout
from locks.metrics import families
from locks.monitor import recent

log = logging.getLogger(__name__)

RECENT = timedelta(minutes=5)
"""How far back hooks are counted."""
_REACHES = (1_000, 10_000, 100_000, 1_000_000)
"""How many hooks back is looked for the first of them; of more than the last number no more are counted."""
_GIVE_UP_AFTER = "2s"
_STATES = [state for state in CommandState if state is not CommandState.COMPLETE]

_MARKS_OF_A_PROXY = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")

Numbers = Mapping[tuple[str, ...], float]
"""Labels → number."""


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return all numbers, to staff and to this machine itself."""
    if not (_is_local(request) or _is_staff(request)):
        return HttpResponseForbidden("Log in as staff, or ask from this machine.\n", content_type="text/plain")
    return HttpResponse(generate_latest(registry()), content_type=CONTENT_TYPE_LATEST)


def _is_local(request: HttpRequest) -> bool:
    """Say whether a program of this machine asks.

    A proxy on this machine does not count: it asks for others, whom one does not see.
    """
    if any(name in request.headers for name in _MARKS_OF_A_PROXY):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inner or address).is_loopback


def _is_staff(request: HttpRequest) -> bool:
    return bool(request.user.is_authenticated and request.user.is_active and request.user.is_staff)


@cache
def registry() -> CollectorRegistry:
    """Return our own collection of numbers; nothing that a library registers for itself comes in."""
    ours = CollectorRegistry()
    ProcessCollector(registry=ours)
    GCCollector(registry=ours)
    ours.register(RowCollector())
    return ours


class RowCollector(Collector):
    """Counts rows when it is asked."""

    def collect(self) -> Iterable[Metric]:
        """Return what the rows say; without a database only that there is none."""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_GIVE_UP_AFTER])
                counted = list(_counted())
        except (DatabaseError, MonitorTimeout) as error:
            log.warning("no metrics of the rows: %s", error)
            return [_reachable(0)]
        return [_reachable(1), *counted]


def _reachable(number: float) -> GaugeMetricFamily:
    return _family("headspace_database_up", "Whether the database answers.", (), {(): number})


def _counted() -> Iterator[Metric]:
    yield _agents()
    yield _waits()
    yield from _inbox()
    yield _hooks()
    yield _locks()
    yield from families()


def _agents() -> GaugeMetricFamily:
    # Two counts instead of a join: the first reads an index with nothing in it but open commands.
    nobody: Numbers = {(presence.value, state.value): 0 for presence in Presence for state in _STATES}
    busy = {**nobody, **_numbers(Command.objects.open(), "agent__presence", "state")}
    for labels, number in _numbers(Agent.objects.all(), "presence").items():
        busy[*labels, "idle"] = max(0, number - sum(count for known, count in busy.items() if known[:1] == labels))
    return _family("headspace_agents", "Agents by presence and state.", ("presence", "state"), busy)


def _waits() -> GaugeMetricFamily:
    waits = _numbers(Wait.objects.filter(closed_at=None), "asking")
    numbers = {(asking.value,): 0 for asking in Asking} | waits
    return _family("headspace_open_waits", "What agents wait for from people.", ("asking",), numbers)


def _inbox() -> Iterator[GaugeMetricFamily]:
    pending = HookEvent.objects.filter(outcome=HookOutcome.PENDING).order_by()
    found = pending.aggregate(number=Count("pk"), oldest_at=Min("received_at"))
    age = (timezone.now() - found["oldest_at"]).total_seconds() if found["number"] else 0.0
    yield _family("headspace_pending_hooks", "Hooks that wait to be applied.", (), {(): found["number"]})
    yield _family("headspace_oldest_pending_hook_seconds", "How long the oldest of them waits.", (), {(): age})


def _hooks() -> GaugeMetricFamily:
    minutes = RECENT.total_seconds() / 60
    heard = _heard_since(timezone.now() - RECENT)
    numbers = {(outcome,): 0 for outcome in HookOutcome.values} | _numbers(heard, "outcome")
    return _family("headspace_recent_hooks", f"Hooks of the last {minutes:g} minutes.", ("outcome",), numbers)


def _heard_since(instant: datetime) -> QuerySet[HookEvent]:
    """Return the hooks since an instant, found from the journal's end: it has no index by time, but its keys rise."""
    newest = HookEvent.objects.aggregate(newest=Max("pk"))["newest"] or 0
    for reach in _REACHES:
        rows = HookEvent.objects.filter(pk__gt=newest - reach).order_by("pk")
        oldest_at = rows.values_list("received_at", flat=True).first()
        if oldest_at is None or oldest_at < instant:
            break
    return rows.filter(received_at__gt=instant)


def _locks() -> GaugeMetricFamily:
    numbers: Numbers = {(kind,): number for kind, number in recent().items()}
    return _family("headspace_recent_lock_troubles", "Locks that went badly in the last hour.", ("kind",), numbers)


def _numbers(rows: QuerySet[Any], *columns: str) -> dict[tuple[str, ...], float]:
    """Return how many rows there are of each kind."""
    counted = rows.order_by().values_list(*columns).annotate(number=Count("pk"))
    return {tuple(kind): number for *kind, number in counted}


def _family(name: str, help_text: str, labels: Sequence[str], numbers: Numbers) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for kind, number in sorted(numbers.items()):
        family.add_metric(kind, number)
    return family
