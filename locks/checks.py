"""System checks: what would make locks protect nothing is an error (E), what makes them last too long a warning (W).

Those that ask a server run only for the databases that are named (``manage.py check --database default``), with one
query each; a server that does not answer is told, never raised.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands, load_command_class
from django.db import DatabaseError, InterfaceError, connections

from locks.conf import conf
from locks.keys import namespace_clashes
from locks.servers import Server, session_scope_on

TAG = "locks"
# pg_locks.waitstart came with it.
OLDEST = 14
_APP = "locks"
_UNANSWERED = (DatabaseError, InterfaceError)
_POOL_SIZE = 4  # psycopg_pool's own default


def check_settings(**options: Any) -> list[CheckMessage]:
    """Return an error where ``LOCKS`` cannot be read or names an alias that is none."""
    try:
        direct = conf().direct
    except (ImproperlyConfigured, TypeError) as error:
        return [checks.Error(str(error), id="locks.E007")]
    unknown = [alias for pair in direct.items() for alias in pair if alias not in connections]
    return [
        checks.Error(f"LOCKS['DIRECT'] names {alias!r}, which DATABASES does not.", id="locks.E007")
        for alias in unknown
    ]


def check_is_postgresql(databases: Sequence[str] | None = None, **options: Any) -> list[CheckMessage]:
    """Return an error for each database that is no PostgreSQL: elsewhere there are no advisory locks."""
    aliases = [alias for alias in databases or connections if connections[alias].vendor != "postgresql"]
    return [checks.Error(f"The database {alias!r} is not PostgreSQL.", id="locks.E001") for alias in aliases]


def check_namespaces(**options: Any) -> list[CheckMessage]:
    """Return an error for each number that means two things: their keys would be each other's."""
    return [checks.Error(f"Lock namespaces clash: {clash}.", id="locks.E006") for clash in namespace_clashes()]


def check_pools(**options: Any) -> list[CheckMessage]:
    """Return a warning for each pool in which threads that wait for a lock keep its holder from a connection."""
    threads = _threads()
    sizes = {alias: _pool_size(connections.settings[alias]["OPTIONS"].get("pool")) for alias in connections}
    return [
        checks.Warning(
            f"The pool of {alias!r} has {size} connections for {threads} threads: those that wait for a lock can keep"
            " its holder from one.",
            hint="Raise OPTIONS['pool']['max_size'], or lower the number of threads.",
            id="locks.W002",
        )
        for alias, size in sizes.items()
        if size is not None and size < threads
    ]


def check_migrate_command(**options: Any) -> list[CheckMessage]:
    """Return a warning where ``manage.py migrate`` is another app's and takes no lock."""
    from locks.management.commands.migrate import Command

    app = get_commands()["migrate"]
    if app == _APP or isinstance(load_command_class(app, "migrate"), Command):
        return []
    words = f"The command migrate is that of {app!r}: nodes that start together migrate at the same time."
    return [checks.Warning(words, hint=f"Name {_APP!r} before it in INSTALLED_APPS.", id="locks.W007")]


def check_servers(databases: Sequence[str] | None = None, **options: Any) -> list[CheckMessage]:
    """Return what each named PostgreSQL says against itself. One query for each, one more for its direct alias."""
    aliases = [alias for alias in databases or () if connections[alias].vendor == "postgresql"]
    return [message for alias in aliases for message in _about(alias)]


def _about(alias: str) -> Iterator[CheckMessage]:
    try:
        server = Server.asked(alias)
    except _UNANSWERED as error:
        yield _unanswered(alias, error)
        return
    if server.version < OLDEST:
        words = f"The database {alias!r} is PostgreSQL {server.version}; locks need {OLDEST}."
        yield checks.Error(words, id="locks.E002")
        return
    for rule in _RULES:
        yield from rule(alias, server)


def _unanswered(alias: str, error: DatabaseError | InterfaceError) -> CheckMessage:
    words = f"The database {alias!r} could not be asked: {str(error).strip().partition(chr(10))[0]}"
    return checks.Warning(words, hint="What the checks ask of its server is unknown.", id="locks.W006")


def _standby(alias: str, server: Server) -> Iterator[CheckMessage]:
    if server.is_standby:
        yield checks.Error(
            f"The database {alias!r} is a standby: its locks exclude nobody on the primary.",
            hint="Lead it to the primary, or leave it out of what locks are taken on.",
            id="locks.E003",
        )


def _pooler(alias: str, server: Server) -> Iterator[CheckMessage]:
    direct = _direct_of(alias)
    if direct is not None:
        yield from _direct(alias, direct, server)
    elif server.is_pooled:
        words = f"The database {alias!r} is behind a pooler, where locks of session scope and migrations are refused."
        hint = f"Name the alias of a direct connection in LOCKS['DIRECT'] = {{{alias!r}: ...}}."
        if alias in session_scope_on or alias in conf().session_scope:
            yield checks.Error(words, hint=hint, id="locks.E004")
        else:
            yield checks.Warning(words, hint=hint, id="locks.W001")


def _direct(alias: str, direct: str, server: Server) -> Iterator[CheckMessage]:
    name = f"LOCKS['DIRECT'][{alias!r}] ({direct!r})"
    try:
        other = Server.asked(direct)
    except _UNANSWERED as error:
        yield _unanswered(direct, error)
        return
    if other.is_pooled:
        yield checks.Error(f"{name} leads through a pooler too.", id="locks.E005")
    if other.identity != server.identity:
        yield checks.Error(f"{name} leads to another database: its locks would exclude nobody here.", id="locks.E005")


def _absent_clients(alias: str, server: Server) -> Iterator[CheckMessage]:
    if server.client_check_ms == 0:
        yield checks.Warning(
            f"The server of {alias!r} does not look whether its clients are still there: one that is killed while it"
            " waits for a lock keeps its place in the queue, and takes its turn.",
            hint=_remedy(alias, "client_connection_check_interval", "1s"),
            id="locks.W003",
        )


def _frozen_clients(alias: str, server: Server) -> Iterator[CheckMessage]:
    if server.idle_in_transaction_ms == 0:
        yield checks.Warning(
            f"The server of {alias!r} lets a client sleep inside a transaction for ever: one that froze keeps the rows"
            " that it locked.",
            hint=_remedy(alias, "idle_in_transaction_session_timeout", "60s"),
            id="locks.W004",
        )


def _full(alias: str, server: Server) -> Iterator[CheckMessage]:
    if server.taken > server.room * conf().fullest:
        yield checks.Warning(
            f"The lock table of the server of {alias!r} has {server.taken} entries and is made for {server.room}: when"
            " it is full, nobody can connect any more.",
            hint="See who holds them (manage.py locks); raise max_locks_per_transaction.",
            id="locks.W005",
        )


_RULES: tuple[Callable[[str, Server], Iterator[CheckMessage]], ...] = (
    _standby,
    _pooler,
    _absent_clients,
    _frozen_clients,
    _full,
)


def _remedy(alias: str, name: str, value: str) -> str:
    role = connections[alias].settings_dict["USER"] or "..."
    return (
        f"ALTER ROLE \"{role}\" SET {name} = '{value}'; for new connections, also through a pooler. Without one,"
        f" OPTIONS['options'] = '-c {name}={value}' does too."
    )


def _pool_size(pool: Any) -> int | None:
    """Return how many connections Django's pool may have; None where there is no pool."""
    if not pool:
        return None
    limits = pool if isinstance(pool, dict) else {}
    return int(limits.get("max_size") or limits.get("min_size", _POOL_SIZE))


def _threads() -> int:
    try:
        return conf().threads
    except (ImproperlyConfigured, TypeError):
        return 0


def _direct_of(alias: str) -> str | None:
    """Return the alias of the direct connection; one that does not exist is another check's."""
    direct = conf().direct.get(alias, "")
    return direct if direct in connections else None
