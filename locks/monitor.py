"""Who holds which advisory lock of this database, who waits, since when, and who stands in whose way.

What PostgreSQL does not tell, the marker beside each lock of ours does (``migrations/0001_locks.py``): the namespace,
when the lock was granted, when the wait began. A lock without one was not taken through us; it is shown with its raw
key and without a namespace.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Sum
from django.db.models.functions import Now

from locks.counts import KINDS, Kind, tally
from locks.errors import CANCELLED, MonitorTimeout, sqlstate
from locks.markers import RawLock, SeenLock, Tag, read_locks
from locks.models import Minute
from locks.snapshots import Lock, Session, Snapshot

# The watcher must never become part of the jam.
STATEMENT_TIMEOUT = timedelta(seconds=2)
RECENT = timedelta(hours=1)

Resolver = Callable[[Collection[int]], Mapping[int, str]]
_resolvers: dict[int, Resolver] = {}
_Names = Mapping[tuple[int | None, int | tuple[int, int]], str]

_LOCKS = """
    SELECT pid, mode, granted, classid::bigint, objid::bigint, objsubid,
           extract(epoch FROM clock_timestamp())::float8,
           extract(epoch FROM clock_timestamp() - waitstart)::float8
    FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# pg_blocking_pids stops the lock manager for a moment: it is asked once for each session that waits.
_SESSIONS = """
    SELECT pid, coalesce(application_name, ''), coalesce(state, ''),
           CASE WHEN client_port = -1 THEN 'local' ELSE coalesce(host(client_addr) || ':' || client_port, '') END,
           coalesce(extract(epoch FROM clock_timestamp() - xact_start)::float8, 0),
           xact_start IS NULL OR xact_start = query_start,
           CASE WHEN pid = ANY(%s::integer[]) OR wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{}' END
    FROM pg_stat_activity WHERE pid = ANY(%s::integer[])
"""
# A transaction sees pg_stat_activity as it was when it first looked, unless that is forgotten.
_BEGIN = (
    "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true), pg_stat_clear_snapshot()"
)
_END = "SELECT set_config('statement_timeout', %s, true)"


def name_keys(namespace: int, resolver: Resolver) -> None:
    """Show the keys of a namespace by name: ``resolver`` gets keys and returns the names of those that it knows."""
    _resolvers[namespace] = resolver


def snapshot(using: str = DEFAULT_DB_ALIAS) -> Snapshot:
    """Return who holds and who waits now. MonitorTimeout where the server does not say so in two seconds."""
    with _watching(using) as cursor:
        seen = _seen_locks(cursor)
        waiting = {lock.raw.pid for lock in seen if lock.raw.pid and not lock.raw.granted}
        sessions = _sessions(cursor, {lock.raw.pid for lock in seen if lock.raw.pid}, waiting)
        counts = recent(using)
    return Snapshot(tuple(_locks(seen, sessions, _names(seen, using))), sessions, counts)


def recent(using: str = DEFAULT_DB_ALIAS) -> dict[Kind, int]:
    """Return what went badly within the last hour: this process's counts of now, the others' of a few seconds ago."""
    minutes = Minute.objects.using(using).filter(minute__gt=Now() - RECENT)
    with tally.unwritten(using) as unwritten:
        written = minutes.aggregate(**{kind: Sum(kind, default=0) for kind in KINDS})
    return {kind: written[kind] + unwritten[kind] for kind in KINDS}


@contextmanager
def _watching(using: str) -> Iterator[CursorWrapper]:
    """Yield a cursor under the watcher's own statement_timeout. MonitorTimeout where it strikes."""
    try:
        with _own_timeout(using) as cursor:
            yield cursor
    except OperationalError as error:
        if sqlstate(error) != CANCELLED:
            raise
        raise MonitorTimeout("The database was too busy to say who holds which lock.") from error


@contextmanager
def _own_timeout(using: str) -> Iterator[CursorWrapper]:
    """Yield a cursor in a transaction with the watcher's statement_timeout; one of the caller's keeps its own."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(_BEGIN, [f"{STATEMENT_TIMEOUT.total_seconds() * 1000:.0f}"])
        usual_timeout = cursor.fetchall()[0][0]
        yield cursor
        cursor.execute(_END, [usual_timeout])


def _seen_locks(cursor: CursorWrapper) -> list[SeenLock]:
    cursor.execute(_LOCKS)
    return sorted(read_locks(RawLock(*row) for row in cursor.fetchall()), key=_order)


def _sessions(cursor: CursorWrapper, pids: set[int], waiting: set[int]) -> dict[int, Session]:
    """Return the sessions, those that block them, and so on: a holder may itself wait, for somebody's row."""
    known: dict[int, Session] = {}
    asked: set[int] = set()
    while pids:
        cursor.execute(_SESSIONS, [list(waiting), list(pids)])
        found = [_session(row) for row in cursor.fetchall()]
        known.update({session.pid: session for session in found})
        asked |= pids
        pids = {pid for session in found for pid in session.blocked_by} - asked
    return known


def _session(row: Sequence[Any]) -> Session:
    pid, application_name, state, client, seconds, is_outside, blocked_by = row
    # pg_blocking_pids may name one several times.
    return Session(pid, application_name, state, client, seconds, is_outside, tuple(sorted(set(blocked_by))))


def _locks(seen: list[SeenLock], sessions: Mapping[int, Session], names: _Names) -> Iterator[Lock]:
    waits = _waits(seen, sessions)
    for lock in seen:
        session = sessions.get(lock.raw.pid or 0)
        blocked_by = session.blocked_by if session and not lock.raw.granted else ()
        blocks = tuple(waiter.pid for waiter in waits[lock.raw.tag] if lock.raw.pid in waiter.blocked_by)
        yield Lock(lock, session, names.get((lock.namespace, lock.key)), blocked_by, blocks)


def _waits(seen: list[SeenLock], sessions: Mapping[int, Session]) -> dict[Tag, list[Session]]:
    """Return who waits, by what is locked."""
    waits: dict[Tag, list[Session]] = defaultdict(list)
    for lock in seen:
        session = sessions.get(lock.raw.pid or 0)
        if session and not lock.raw.granted:
            waits[lock.raw.tag].append(session)
    return waits


def _names(seen: list[SeenLock], using: str) -> _Names:
    """Return the names that are known; none where somebody locks the table that they stand in."""
    keys: dict[int, set[int]] = defaultdict(set)
    for lock in seen:
        if lock.namespace in _resolvers and isinstance(lock.key, int):
            keys[lock.namespace].add(lock.key)
    try:
        with _watching(using):
            named = {namespace: _resolvers[namespace](keys[namespace]) for namespace in keys}
    except MonitorTimeout:
        return {}
    return {(namespace, key): name for namespace, names in named.items() for key, name in names.items()}


def _order(lock: SeenLock) -> tuple[object, ...]:
    return lock.namespace or 0, lock.raw.tag, not lock.raw.granted, -(lock.wait_seconds or 0.0)
