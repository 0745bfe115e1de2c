"""Ending a session that holds a lock of ours, on the record: never one that holds something else than what was seen.

The row is there, committed, before the session is told to end; what came of it is written once, afterwards. A row
without an outcome is from a process that was killed in between.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.models.functions import Now

from locks.errors import sqlstate
from locks.models import Outcome, Termination
from locks.monitor import snapshot
from locks.snapshots import Lock

PATIENCE = timedelta(seconds=5)
"""How long is waited for the session to end; it may have to roll much back."""
_FORBIDDEN = "42501"

_HELD = """
    SELECT classid::bigint, objid::bigint, objsubid, mode FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND pid = %(pid)s
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Of ours are the locks that have a marker; who had to wait has one of the wait, too.
_OURS = f"""
    WITH held AS MATERIALIZED ({_HELD}), ours AS (
        SELECT held.*, marker.classid AS marker_classid, marker.objid AS marker_objid FROM held JOIN held AS marker
        ON held.objsubid = 1 AND marker.objsubid = 2 AND marker.mode = 'ShareLock'
           AND (marker.classid & 16777215) = (held.objid & 16777215) AND ((marker.classid >> 24) & 127) > 0
    )
    SELECT pg_backend_pid(),
           (SELECT backend_start FROM pg_stat_activity WHERE pid = %(pid)s),
           ARRAY(SELECT array_to_string(ARRAY[classid, objid, objsubid], ' ') FROM ours
                 UNION SELECT array_to_string(ARRAY[marker_classid, marker_objid, 2], ' ') FROM ours)
"""  # noqa: S608 - nothing of anybody else's is in it
# One statement: between the look and the signal nobody else's turn comes, and a number that the system has given to
# another process in the meantime began later.
_END = f"""
    WITH held AS MATERIALIZED ({_HELD}), same AS MATERIALIZED (
        SELECT %(marks)s::text[] <@ ARRAY(SELECT array_to_string(ARRAY[classid, objid, objsubid], ' ') FROM held)
               AND EXISTS (SELECT FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(began_at)s) AS is_same
    )
    SELECT CASE WHEN is_same THEN pg_terminate_backend(%(pid)s, %(patience_ms)s) END FROM same
"""  # noqa: S608
_BEGIN = "SELECT set_config('statement_timeout', %s, true), pg_stat_clear_snapshot()"


@dataclass(frozen=True, slots=True)
class Holding:
    """What a session holds, and what it is known by."""

    pid: int
    is_own: bool
    """Whether it is the session that looks."""
    began_at: datetime | None
    """When the session began; None where it is gone."""
    marks: tuple[str, ...]
    """The locks of ours with their markers, as the server names them."""
    locks: tuple[Lock, ...]
    """All advisory locks, for a person."""

    @property
    def holder(self) -> str:
        """Who it says it is."""
        sessions = [lock.session for lock in self.locks if lock.session]
        return sessions[0].label.holder if sessions else ""

    @property
    def refusal(self) -> Outcome | None:
        """Why it may not be ended."""
        if self.is_own:
            return Outcome.OWN
        return None if self.began_at and self.marks else Outcome.FOREIGN


def look(pid: int, using: str = DEFAULT_DB_ALIAS) -> Holding:
    """Return what the session holds now. MonitorTimeout where the server does not say."""
    # The marks first: who holds them still in the end held them while the locks were shown.
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(_BEGIN, [_milliseconds(2 * PATIENCE)])
        cursor.execute(_OURS, {"pid": pid})
        own_pid, began_at, marks = cursor.fetchall()[0]
    held = [lock for lock in snapshot(using).locks if lock.seen.raw.pid == pid and lock.seen.raw.granted]
    return Holding(pid, pid == own_pid, began_at, tuple(marks), tuple(held))


def terminate(
    pid: int, *, by: str, reason: str = "", using: str = DEFAULT_DB_ALIAS, seen: Holding | None = None
) -> Outcome:
    """End the session if it still holds what it held when it was ``seen`` (by default: now); all is on record.

    ``by``: who asks, for the record. Not inside a transaction: the record must outlive whatever happens.
    """
    seen = seen or look(pid, using)
    if seen.pid != pid:
        raise ValueError(f"pid {seen.pid} was looked at, and {pid} is to end")
    with transaction.atomic(using=using, durable=True):
        row = Termination.objects.using(using).create(
            asked_at=Now(),
            by=by,
            pid=pid,
            reason=reason,
            holder=seen.holder,
            locks=[one.as_json() for one in seen.locks],
        )
    outcome = seen.refusal or _ended(seen, using)
    answered: dict[str, Any] = {"outcome": outcome, "ended_at": Now() if outcome is Outcome.ENDED else None}
    Termination.objects.using(using).filter(pk=row.pk).update(**answered)
    return outcome


def _ended(seen: Holding, using: str) -> Outcome:
    asked: dict[str, Any] = {"pid": seen.pid, "marks": list(seen.marks), "began_at": seen.began_at}
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute(_BEGIN, [_milliseconds(2 * PATIENCE)])
            cursor.execute(_END, asked | {"patience_ms": _milliseconds(PATIENCE)})
            (has_ended,) = cursor.fetchall()[0]
    except DatabaseError as error:
        if sqlstate(error) != _FORBIDDEN:
            raise
        return Outcome.FORBIDDEN
    if has_ended is None:
        return Outcome.CHANGED
    return Outcome.ENDED if has_ended else Outcome.STAYS


def _milliseconds(patience: timedelta) -> str:
    return f"{patience.total_seconds() * 1000:.0f}"
