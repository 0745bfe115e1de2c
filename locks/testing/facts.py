"""What the server itself says, asked on a connection that takes no part: tests wait for facts, never for time."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections

from locks.keys import LockKey

T = TypeVar("T")
WITHIN = 30.0
"""Seconds after which what should have happened counts as never happening."""

_LOOK_EVERY = 0.002
# Only clients: an autovacuum worker that waits is none of ours, and one that is waited for goes away by itself.
_CLIENTS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
_BLOCKED = f"""
    SELECT pid FROM ({_CLIENTS} AND wait_event_type = 'Lock') AS waiting
    WHERE pg_isolation_test_session_is_blocked(pid, ARRAY({_CLIENTS}))
"""  # noqa: S608 - a constant
_HOLDING = """
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND ((classid::bigint << 32) | objid::bigint) = %s::bigint
"""


class Watcher:
    """A connection of its own that asks about the others; each statement sees what is so then."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def ask(self, sql: str, params: Collection[Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def blocked(self) -> set[int]:
        """Return the backends of this database that wait for a lock which another client of it has, or wants before."""
        return {pid for (pid,) in self.ask(_BLOCKED)}

    def there(self, pids: Collection[int]) -> set[int]:
        """Return those of the backends that have not ended."""
        return {pid for (pid,) in self.ask("SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)", [list(pids)])}

    def holding(self, key: LockKey) -> set[int | None]:
        """Return who holds the key; None for a prepared transaction."""
        return {pid for (pid,) in self.ask(_HOLDING, [str(key.id)])}

    def end(self, pids: Collection[int]) -> None:
        """End the backends and wait until they are gone, locks and all."""
        self.ask("SELECT pg_terminate_backend(pid) FROM unnest(%s::integer[]) AS pid", [list(pids)])
        until(lambda: not self.there(pids), "the end of the backends")


@contextmanager
def watcher(using: str = DEFAULT_DB_ALIAS) -> Iterator[Watcher]:
    """Yield a watcher of the database."""
    with closing(connections.create_connection(using)) as connection:
        yield Watcher(connection)


def until(fact: Callable[[], T], what: str = "the fact", within: float = WITHIN) -> T:
    """Return what ``fact()`` says as soon as it is truthy; AssertionError where it is not within so many seconds."""
    give_up_at = time.monotonic() + within
    while not (seen := fact()):
        if time.monotonic() > give_up_at:
            raise AssertionError(f"{what} did not come about within {within:g} s")
        time.sleep(_LOOK_EVERY)
    return seen
