"""Who holds which advisory lock of this database, who waits, since when, and who stands in whose way.

What PostgreSQL does not tell, the marker beside each lock of ours does (``migrations/0001_locks.py``): the namespace,
when the lock was granted, when the wait began. A lock without one was not taken through us; it is shown with its raw
key and without a namespace.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Sum
from django.db.models.functions import Now

from locks.counts import KINDS, Kind, tally
from locks.errors import CANCELLED, MonitorTimeout, sqlstate
from locks.history import minutes_since, newest_incidents
from locks.markers import SeenLock, Tag, read_locks
from locks.models import Minute
from locks.snapshots import Load, Lock, Room, Session, Snapshot

# The watcher must never become part of the jam.
STATEMENT_TIMEOUT = timedelta(seconds=2)
RECENT = timedelta(hours=1)

Resolver = Callable[[Collection[int]], Mapping[int, str]]
_resolvers: dict[tuple[str, int], Resolver] = {}
_Names = Mapping[tuple[int | None, int | tuple[int, int]], str]

# The clock is asked once, when the table has been copied. date_part is no exact number, and five times as quick.
_LOCKS = """
    SELECT pid, mode, granted, classid::bigint, objid::bigint, objsubid,
           (SELECT date_part('epoch', clock_timestamp())),
           date_part('epoch', clock_timestamp() - waitstart)
    FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# pg_blocking_pids stops the lock manager for a moment: it is asked once for each session that waits.
_SESSIONS = """
    SELECT pid, coalesce(application_name, ''), coalesce(state, ''),
           CASE WHEN client_port = -1 THEN 'local' ELSE coalesce(host(client_addr) || ':' || client_port, '') END,
           coalesce(date_part('epoch', clock_timestamp() - xact_start), 0),
           xact_start IS NULL OR xact_start = query_start,
           CASE WHEN pid = ANY(%s::integer[]) OR wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{}' END,
           coalesce(date_part('epoch', clock_timestamp() - backend_start), 0)
    FROM pg_stat_activity WHERE pid = ANY(%s::integer[])
"""
_ROOM = "SELECT taken, nominal FROM locks_room()"
# Who was given a text has a key that is the text's hash, and no hash is that small.
_SMALL = 2**40
_TEXTS = "SELECT lock_id, name FROM locks_name WHERE lock_id = ANY(%s::bigint[])"
# A transaction sees pg_stat_activity as it was when it first looked, unless that is forgotten.
_BEGIN = (
    "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true), pg_stat_clear_snapshot()"
)
_END = "SELECT set_config('statement_timeout', %s, true)"


def name_keys(namespace: int, resolver: Resolver, using: str = DEFAULT_DB_ALIAS) -> None:
    """Show the keys of a namespace by name: ``resolver`` gets keys and returns the names of those that it knows.

    In another database the same keys are other things: there they have no name.
    """
    _resolvers[using, namespace] = resolver


def snapshot(using: str = DEFAULT_DB_ALIAS) -> Snapshot:
    """Return who holds and who waits now. MonitorTimeout where the server does not say so in two seconds."""
    with _watching(using) as cursor:
        seen = _seen_locks(cursor)
        waiting = {lock.raw.pid for lock in seen if lock.raw.pid and not lock.raw.granted}
        sessions = _sessions(cursor, {lock.raw.pid for lock in seen if lock.raw.pid}, waiting)
        room = _room(cursor)
        counts = recent(using)
        incidents = newest_incidents(using)
    return Snapshot(tuple(_locks(seen, sessions, using)), sessions, counts, room, incidents)


def load(using: str = DEFAULT_DB_ALIAS) -> Load:
    """Return how many are held and waited for now; quicker than a snapshot. MonitorTimeout as there."""
    with _watching(using) as cursor:
        seen, room = _seen_locks(cursor), _room(cursor)
    waits = [lock.wait_seconds or 0.0 for lock in seen if not lock.raw.granted]
    held = [lock.is_marked for lock in seen if lock.raw.granted]
    return Load(len(held), len(waits), max(waits, default=0.0), held.count(False), room)


def recent(using: str = DEFAULT_DB_ALIAS) -> dict[Kind, int]:
    """Return what went badly within the last hour: this process's counts of now, the others' of a few seconds ago."""
    minutes = Minute.objects.using(using).filter(minute__gt=Now() - RECENT)
    with tally.unwritten(using) as unwritten:
        written = minutes.aggregate(**{kind: Sum(kind, default=0) for kind in KINDS})
    return {kind: written[kind] + unwritten[kind] for kind in KINDS}


def last_hour(now: datetime, using: str = DEFAULT_DB_ALIAS) -> dict[datetime, Minute]:
    """Return the minutes of the last hour in which there was something to count. MonitorTimeout as a snapshot."""
    with _watching(using):
        return minutes_since(now - RECENT, using)


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
    return sorted(read_locks(cursor.fetchall()), key=_order)


def _room(cursor: CursorWrapper) -> Room:
    cursor.execute(_ROOM)
    return Room(*cursor.fetchall()[0])


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
    pid, application_name, state, client, seconds, is_outside, blocked_by, connected = row
    # pg_blocking_pids may name one several times.
    in_the_way = tuple(sorted(set(blocked_by)))
    return Session(pid, application_name, state, client, seconds, is_outside, in_the_way, connected)


def _locks(seen: list[SeenLock], sessions: Mapping[int, Session], using: str) -> Iterator[Lock]:
    names, texts, blocks = _names(seen, using), _texts(seen, using), _blocks(seen, sessions)
    queued: Counter[Tag] = Counter()
    for lock in seen:
        raw = lock.raw
        session = sessions.get(raw.pid or 0)
        # Most locks have no name, are held, and nobody waits for them.
        name = names.get((lock.namespace, lock.key)) if names else None
        text = texts.get(raw.id) if texts else None
        behind = tuple(blocks.get((raw.tag, raw.pid), ())) if blocks else ()
        if raw.granted:
            yield Lock(lock, session, name, text, (), behind)
        else:
            queued[raw.tag] += 1
            yield Lock(lock, session, name, text, session.blocked_by if session else (), behind, queued[raw.tag])


def _blocks(seen: list[SeenLock], sessions: Mapping[int, Session]) -> dict[tuple[Tag, int | None], list[int]]:
    """Return who waits behind a session for what is locked."""
    blocks: dict[tuple[Tag, int | None], list[int]] = defaultdict(list)
    for lock in seen:
        if not lock.raw.granted and (session := sessions.get(lock.raw.pid or 0)):
            for pid in session.blocked_by:
                blocks[lock.raw.tag, pid].append(session.pid)
    return blocks


def _names(seen: list[SeenLock], using: str) -> _Names:
    """Return the names that are known; none where somebody locks the table that they stand in."""
    keys: dict[int, set[int]] = defaultdict(set)
    for lock in seen:
        if lock.namespace and (using, lock.namespace) in _resolvers and isinstance(lock.key, int):
            keys[lock.namespace].add(lock.key)
    try:
        with _watching(using):
            named = {namespace: _resolvers[using, namespace](keys[namespace]) for namespace in keys}
    except MonitorTimeout:
        return {}
    return {(namespace, key): name for namespace, names in named.items() for key, name in names.items()}


def _texts(seen: list[SeenLock], using: str) -> dict[int, str]:
    """Return the texts that keys were made of, by the lock's number; the same holds for their table."""
    hashes = [str(lock.raw.id) for lock in seen if isinstance(lock.key, int) and abs(lock.key) > _SMALL]
    if not hashes:
        return {}
    try:
        with _watching(using) as cursor:
            cursor.execute(_TEXTS, [hashes])
            return dict(cursor.fetchall())
    except MonitorTimeout:
        return {}


def _order(lock: SeenLock) -> tuple[object, ...]:
    return lock.namespace or 0, lock.raw.tag, not lock.raw.granted, -(lock.wait_seconds or 0.0)
