"""Real servers for tests: started in a temporary directory, gone afterwards, also when pytest is killed.

``restartable()``            PostgreSQL 18 as Headspace embeds it, to be stopped, killed and started again.
``debian_postgres()``        PostgreSQL 15 as Debian packages it; skips the test where it is not installed.
``primary_with_standby()``   two PostgreSQL 18, the second one replicating the first, to be promoted.
``pgbouncer(url)``           PgBouncer in front of any server; skips the test where it is not installed.

All are context managers. A server's settings are keyword arguments (``restartable(max_connections=12)``), its
addresses ``server.url()``, a psycopg connection ``server.connect()``, and Django is led to it by
``django_database(url)`` (another alias in this process) or by ``DATABASE_URL`` (another process).

Start them in the main thread: a server ends when the thread that started it does.
"""

from tests.servers.aliases import django_database
from tests.servers.pooler import Pooler, pgbouncer
from tests.servers.postgres import Server, debian_postgres, restartable
from tests.servers.replicas import Pair, primary_with_standby

__all__ = [
    "Pair",
    "Pooler",
    "Server",
    "debian_postgres",
    "django_database",
    "pgbouncer",
    "primary_with_standby",
    "restartable",
]
