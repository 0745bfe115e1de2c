"""No test leaves a lock behind: neither in the server nor in this process's register of sections."""

from django.db import DEFAULT_DB_ALIAS, Error, connections

from locks.sections import _open_blocks
from locks.testing.facts import Watcher, until, watcher

_WITHIN = 10.0
"""Seconds in which the server must have ended what was killed or closed."""
# The test's own transaction is given back with it; what it holds is no leak.
_LEFT = """
    SELECT DISTINCT format('%%s (%%s, %%s)', pid, application_name, state)
    FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND pid IS DISTINCT FROM %s
"""


def assert_no_locks_left(using: str = DEFAULT_DB_ALIAS) -> None:
    """Raise AssertionError where anybody holds or waits for an advisory lock of the database, now and for a while, or

    where this code is inside of a section. A transaction around the test may keep what it took.
    """
    if sections := [str(key) for block in _open_blocks() if block.using == using for key in block.keys]:
        raise AssertionError(f"sections are still open: {', '.join(sections)}")
    seen: list[str] = []

    def nothing_is_left() -> bool:
        seen[:] = locks_left(using)
        return not seen

    try:
        until(nothing_is_left, within=_WITHIN)
    except AssertionError:
        raise AssertionError(f"advisory locks are still held or waited for: {'; '.join(seen)}") from None


def locks_left(using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Return who holds or waits for an advisory lock of the database: pid, name, state.

    Asked on the connection that is there, because a new one costs more than all the rest.
    """
    connection = connections[using]
    own = connection.connection.info.backend_pid if connection.connection and connection.in_atomic_block else None
    try:
        rows = Watcher(connection).ask(_LEFT, [own])
    except Error:
        # It was lost, or its transaction is broken.
        with watcher(using) as eyes:
            rows = eyes.ask(_LEFT, [own])
    return [who for (who,) in rows]
