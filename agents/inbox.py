"""The inbox: hooks that found their agent busy wait in the journal, and are applied in order by who locks it next."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from agents import conf
from agents.decisions import decision_of_row
from agents.deliveries import Delivery
from agents.errors import UnknownHost
from agents.judging import judge
from agents.models import AgentSession, HookEvent
from agents.plans import Change, journal_row
from agents.record import apply_stored, read_situation
from agents.snapshots import Row
from agents.stored import delivery_of
from locks import AdvisoryLockError

log = logging.getLogger(__name__)

AT_MOST = 100
"""How many hooks one turn applies: what is behind them waits for the next turn, so that no lock is held for long."""
NOT_ITS_FAULT = (AdvisoryLockError, InterfaceError, OperationalError, UnknownHost)
"""What may happen to any hook: a lost connection, a busy lock, a revoked token. All else is a fault of the one hook."""


def note(delivery: Delivery, host_id: int, outcome: str) -> bool:
    """Journal a hook that belongs to no agent; False when it is there already, be it by its twin of this moment."""
    row = journal_row(delivery) | {"outcome": outcome, "applied_at": delivery.received_at}
    _, created = HookEvent.objects.get_or_create(host_id=host_id, key=delivery.keys[0], defaults=row)
    return created


def drain(agent_id: int, at: datetime, until: datetime | None = None) -> int:
    """Apply an agent's pending hooks in order, one turn of them, and return how many.

    Must run in a transaction that holds the agent's lock: the version that each is judged on then stands. A hook that
    cannot be applied is refused with a word in the log; it never holds up the others. With ``until``, those that were
    received later stay: others that came before them are on their way still.
    """
    _claim(agent_id)
    rows = list(waiting(agent_id, until)[:AT_MOST])
    if rows:
        _apply_all(rows, read_situation(agent_id), at)
    return len(rows)


def outcome_of(delivery: Delivery, host_id: int) -> str:
    """Return what has become of a hook that was stored; one that could not be applied counts as unsupported."""
    outcome = HookEvent.objects.values_list("outcome", flat=True).get(host=host_id, key=delivery.keys[0])
    return "unsupported" if outcome == "refused" else outcome


def waiting(agent_id: int, until: datetime | None = None) -> QuerySet[HookEvent]:
    """Return an agent's pending hooks in the client's order where it counts, else in the order of arrival."""
    pending = HookEvent.objects.filter(agent=agent_id, outcome="pending")
    pending = pending.filter(received_at__lte=until) if until else pending
    return pending.order_by(F("sequence").asc(nulls_first=True), "received_at", "pk")


def _claim(agent_id: int) -> None:
    """Give the agent what waits for its sessions and was stored in the moment in which they came to it."""
    session = AgentSession.objects.filter(
        agent=agent_id, host=OuterRef("host"), vendor=OuterRef("vendor"), session_id=OuterRef("session_id")
    )
    HookEvent.objects.filter(Exists(session), agent=None, outcome="pending").update(agent=agent_id)


def _apply_all(rows: Sequence[HookEvent], found: Row, at: datetime) -> None:
    """Apply all in one savepoint; where one of them cannot be applied, each in a savepoint of its own."""
    try:
        with transaction.atomic():
            _each(rows, found, at, _apply)
            _check_now()
    except NOT_ITS_FAULT:
        raise
    except Exception:
        _each(rows, found, at, _apply_or_refuse)


def _each(
    rows: Sequence[HookEvent], found: Row, at: datetime, apply: Callable[[HookEvent, Row, datetime], Row]
) -> None:
    for row in rows:
        found = apply(row, found, at)


def _apply(row: HookEvent, found: Row, at: datetime) -> Row:
    """Apply one pending hook as if it came now, and return the agent as it is then."""
    delivery = delivery_of(row)
    while True:
        # Its vendor was answered when it came: the journal keeps that, whatever the mode is now.
        judged, outcome = judge(found, delivery.event, decision_of_row(row.answer))
        change = Change(found, judged, at, delivery, row.pk, outcome, "inbox", delivery.correlation_id)
        sight = apply_stored(change, delivery, conf.busy_after())
        assert sight.found is not None
        if sight.was_written or sight.is_repeat or not HookEvent.objects.filter(pk=row.pk, outcome="pending").exists():
            return sight.found
        found = sight.found  # somebody wrote without the lock: judge again on what is there now


def _apply_or_refuse(row: HookEvent, found: Row, at: datetime) -> Row:
    try:
        with transaction.atomic():
            after = _apply(row, found, at)
            _check_now()
            return after
    except NOT_ITS_FAULT:
        raise
    except Exception:
        refuse(row, at)
        return found


def _check_now() -> None:
    """Check here what is else checked at commit: a hook that breaks it is refused alone. One message."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def refuse(row: HookEvent, at: datetime) -> None:
    """Take a hook that cannot be applied out of the way of the others; call it while its fault is handled."""
    log.exception("inbox: event %s cannot be applied", row.pk)
    HookEvent.objects.filter(pk=row.pk, outcome="pending").update(outcome="refused", applied_at=at)
