"""Gives each pytest process a throwaway PostgreSQL and data directory, unless DATABASE_URL names a database.

Loaded with ``-p``: pytest-django reads the settings before any conftest.py is imported.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from headspace.claims import keep_secret_key
from headspace.embedded_postgres import EmbeddedPostgres

_started = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config):
    # A wrapper, because these run before pytest-django's own hook, which is loaded later and therefore called first.
    data = Path(tempfile.mkdtemp(prefix="headspace-tests-"))
    data.chmod(0o711)
    os.environ["HEADSPACE_DATA"] = str(data)
    _started.append(data)
    # Processes that a test starts sign with the key that this one reads.
    keep_secret_key(data)
    if not os.environ.get("DATABASE_URL"):
        server = EmbeddedPostgres(data, durable=False)
        _started.append(server)
        os.environ["DATABASE_URL"] = server.start()
    try:
        return (yield)
    except BaseException:
        # pytest ends here without unconfiguring.
        _clean_up()
        raise


def pytest_unconfigure(config):
    _clean_up()


def _clean_up():
    while _started:
        match _started.pop():
            case EmbeddedPostgres() as server:
                server.stop()
            case data:
                shutil.rmtree(data)
