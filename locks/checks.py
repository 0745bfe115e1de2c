"""System checks: the library needs PostgreSQL, and one that is not too old."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import connections

# pg_locks.waitstart came with it.
OLDEST = 14


def check_is_postgresql(databases: Sequence[str] | None = None, **options: Any) -> list[CheckMessage]:
    """Return an error for each database that is no PostgreSQL: elsewhere there are no advisory locks."""
    aliases = [alias for alias in databases or connections if connections[alias].vendor != "postgresql"]
    return [Error(f"The database {alias!r} is not PostgreSQL.", id="locks.E001") for alias in aliases]


def check_is_recent(databases: Sequence[str] | None = None, **options: Any) -> list[CheckMessage]:
    """Return an error for each PostgreSQL that is too old; it connects, so it looks only where it is told to."""
    known = [alias for alias in databases or () if connections[alias].vendor == "postgresql"]
    versions = {alias: _version(alias) for alias in known}
    return [
        Error(f"The database {alias!r} is PostgreSQL {version}; locks need {OLDEST}.", id="locks.E002")
        for alias, version in versions.items()
        if version < OLDEST
    ]


def _version(alias: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::integer / 10000")
        return int(cursor.fetchall()[0][0])
