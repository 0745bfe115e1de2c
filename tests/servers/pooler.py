"""PgBouncer in front of a server."""

import shutil
import signal
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.servers.processes import free_port, home, spawned, wait_until

_CONFIGURATION = """\
[databases]
* = host={host} port={server_port} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {pool_size}
max_client_conn = 500
server_round_robin = 1
logfile = {log}
pidfile = {pid}
{more}
"""


class Pooler:
    """A running PgBouncer; ``url()`` leads through it."""

    def __init__(self, url, port):
        self._through = urlsplit(url)
        self.port = port

    def url(self, database=None):
        """The address through the pooler of the same database, or of another one of the same server."""
        path = f"/{database}" if database else self._through.path
        return f"postgresql://{self._through.username}@127.0.0.1:{self.port}{path}"

    def connect(self, **params):
        """A new psycopg connection in autocommit mode that prepares nothing: another backend would not know it."""
        usual = {"autocommit": True, "prepare_threshold": None, "connect_timeout": 10}
        return psycopg.connect(self.url(), **usual | params)


@contextmanager
def pgbouncer(url, mode="transaction", pool_size=5, **settings):
    """PgBouncer in front of the server at the URL, which must have a user and a password; yields a ``Pooler``.

    ``mode``: transaction, session or statement. Idle backends are used in turn, so that a client meets another one at
    each transaction. More settings by PgBouncer's own names (``ignore_startup_parameters="options"``).
    The test is skipped where PgBouncer is not installed (as root ``make`` installs it).
    """
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if not program:
        pytest.skip("PgBouncer is not installed (apt install pgbouncer)")
    with home() as (place, account):
        server, port = urlsplit(url), free_port()
        configuration = place / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(
                host=server.hostname,
                server_port=server.port,
                user=server.username,
                password=server.password,
                port=port,
                mode=mode,
                pool_size=pool_size,
                log=place / "log",
                pid=place / "pid",
                more="\n".join(f"{name} = {value}" for name, value in settings.items()),
            )
        )
        account.own(configuration)
        output = place / "output"
        process = spawned([program, configuration], account, output, signal.SIGKILL)
        pooler = Pooler(url, port)
        try:
            wait_until(lambda: _answers(pooler), "PgBouncer's start", process, output)
            yield pooler
        finally:
            process.kill()
            process.wait()


def _answers(pooler):
    try:
        pooler.connect().close()
    except psycopg.OperationalError:
        return False
    return True
