"""The library on an old server: its own tests, as they are, on Debian's PostgreSQL 15."""

import os
import subprocess
import sys

from tests.house.sources import ROOT
from tests.servers import debian_postgres

# Those that show what the server does for the library; `make test-postgres-15` runs everything.
FILES = ["advisory", "functions", "fenced", "monitor", "postgres_facts", "postgres_facts_waits"]


def test_the_library_passes_its_tests_on_15():
    with debian_postgres() as server:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
            + [f"tests/locks/test_{name}.py" for name in FILES],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": server.url()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout[-5000:]
