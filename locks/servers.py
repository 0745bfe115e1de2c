"""What a database's server says of itself, in one query that needs nothing of the library's own SQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from django.db import connections

session_scope_on: set[str] = set()
"""The database aliases for which this process is known to ask for locks of session scope."""

_QUERY = """
    SELECT
        pg_backend_pid(),
        current_setting('server_version_num')::integer / 10000,
        pg_is_in_recovery(),
        (SELECT setting FROM pg_settings WHERE name = 'client_connection_check_interval')::integer,
        (SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout')::integer,
        (SELECT count(*) FROM pg_locks WHERE NOT fastpath AND locktype <> 'virtualxid'),
        current_setting('max_locks_per_transaction')::bigint
        * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint),
        pg_postmaster_start_time(),
        (SELECT oid FROM pg_database WHERE datname = current_database())::bigint
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server, seen through one connection to one of its databases."""

    version: int
    is_standby: bool
    is_pooled: bool
    """Whether the session is somebody else's: a pooler made it up a process id."""
    client_check_ms: int | None
    """How often it looks whether a client is still there; 0 for never, None where it is too old to."""
    idle_in_transaction_ms: int
    """0 for no limit."""
    taken: int
    """Entries of its lock table."""
    room: int
    """How many entries it is made for."""
    identity: tuple[datetime, int]
    """The same for two connections only if both lead to the same database."""

    @classmethod
    def asked(cls, alias: str) -> Self:
        """Ask the server of the database alias; Django's own errors pass."""
        connection = connections[alias]
        with connection.cursor() as cursor:
            cursor.execute(_QUERY)
            pid, version, is_standby, client_check, idle, taken, room, started, database = cursor.fetchall()[0]
        is_pooled = connection.connection.info.backend_pid != pid
        return cls(version, is_standby, is_pooled, client_check, idle, taken, room, (started, database))
