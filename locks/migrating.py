"""One node at a time changes the schema: a session's lock that is asked for again and again, and never waited for.

A statement that waits for a lock has a snapshot. CREATE INDEX CONCURRENTLY waits for every older snapshot, and so would
the one who migrates for the one who waits, and both for ever. Between two tries this session has none.

Nothing of the library's own SQL is used: before the first migration it is not there.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg
from django.db import connections

from locks.dedicated import parameters, preparation, refuse_unfit
from locks.errors import LockLost, LockTimeout, PooledSession
from locks.holders import Holder, held_by
from locks.keys import LockKey, LockNamespace
from locks.labels import Label, current_label

KEY = LockKey(LockNamespace.MIGRATION, "migrate")
_TRY_EVERY = 0.5  # seconds
# The marker's first number, as the monitor reads it: session scope, namespace, lower bits of the id.
_MARKED = (1 << 31 | KEY.namespace << 24 | KEY.id & 0xFFFFFF) - (1 << 32)

_TRY = """
    SELECT CASE WHEN pg_try_advisory_lock(%s::bigint) THEN pg_try_advisory_lock_shared(
        %s, (((date_part('epoch', clock_timestamp()) * 100)::bigint + 2147483648) %% 4294967296 - 2147483648)::integer
    ) ELSE false END
"""
_HOLDERS = """
    SELECT lock.pid, activity.application_name, (
        SELECT min((date_part('epoch', clock_timestamp()) * 100)::bigint - objid::bigint & 4294967295) / 100.0
        FROM pg_locks WHERE pid = lock.pid AND locktype = 'advisory' AND objsubid = 2 AND classid::bigint = %s
    )::float
    FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND (lock.classid::bigint << 32 | lock.objid::bigint) = %s::bigint
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class MigrationLock:
    """The lock, held by a session that does nothing else."""

    session: psycopg.Connection[tuple[object, ...]]

    def verify(self) -> None:
        """Raise LockLost where the session is gone, and the lock with it. One round trip."""
        try:
            self.session.execute("SELECT")
        except psycopg.Error as error:
            raise LockLost(f"The lock of this migration is lost ({_first_line(error)}).") from error


@contextmanager
def migrating_alone(alias: str, patience: float, say: Callable[[str], object]) -> Iterator[MigrationLock]:
    """Hold the database's migration lock for the block, on a connection of its own; ask for at most that many seconds.

    Tells once who holds it. Before the block: LockTimeout, PooledSession, OnStandby, or Django's OperationalError where
    the server does not answer. After it: LockLost, unless the block itself failed.
    """
    with closing(_connected(alias)) as session:
        _await(session, patience, say)
        lock = MigrationLock(session)
        yield lock
        lock.verify()


def _connected(alias: str) -> psycopg.Connection[tuple[object, ...]]:
    label = Label(f"migrate on {socket.gethostname()}", current_label().correlation_id)
    with connections[alias].wrap_database_errors:
        session = psycopg.connect(**parameters(alias) | {"application_name": label.text})
    try:
        refuse_unfit(session, session.execute(*preparation(alias, session)).fetchone())
    except PooledSession as error:
        session.close()
        raise PooledSession(f"{error} Or see to it that one node migrates at a time, and say --no-lock.") from None
    except BaseException:
        session.close()
        raise
    return session


def _await(session: psycopg.Connection[tuple[object, ...]], patience: float, say: Callable[[str], object]) -> None:
    began = time.monotonic()
    waited = None
    while not _tried(session):
        holders = _holders(session)
        if waited is None:
            say(f"Another node migrates: {held_by(holders)}. Waiting for at most {patience:g} s.")
        waited = time.monotonic() - began
        if waited >= patience:
            raise LockTimeout(
                f"The database was not free to be migrated within {patience:g} s: {held_by(holders)}.", holders
            )
        time.sleep(min(_TRY_EVERY, patience - waited))
    if waited is not None:
        say(f"The other node is done; waited for {time.monotonic() - began:.1f} s.")


def _tried(session: psycopg.Connection[tuple[object, ...]]) -> bool:
    return session.execute(_TRY, [str(KEY.id), _MARKED]).fetchone() == (True,)


def _holders(session: psycopg.Connection[tuple[object, ...]]) -> list[Holder]:
    rows = session.execute(_HOLDERS, [_MARKED + (1 << 32), str(KEY.id)]).fetchall()
    return [Holder.read({"pid": pid, "label": name, "held_seconds": seconds}) for pid, name, seconds in rows]


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0]
