"""Another database alias for the time of a test."""

from contextlib import contextmanager

import environ
from django.db import connections


@contextmanager
def django_database(url, alias="elsewhere", **settings):
    """Lead a Django database alias to the server; yield the alias.

    Settings are Django's (``OPTIONS={"pool": ...}``). The tables are not made: ``call_command("migrate",
    database=alias)`` does. Any test may use it, with or without the mark ``django_db``; each thread closes its own
    connection.
    """
    given = environ.Env.db_url_config(url) | {"ENGINE": "tests.servers.backend"} | settings
    # Django fills in what is left out for an alias of this name alone.
    connections.settings[alias] = connections.configure_settings({"default": given})["default"]
    try:
        yield alias
    finally:
        connections[alias].close()
        connections[alias].close_pool()
        del connections[alias]
        del connections.settings[alias]
