"""``python -m tests.servers COMMAND ...``: run a command with DATABASE_URL leading to a PostgreSQL 15 of its own."""

import os
import subprocess
import sys

import pytest

from tests.servers import debian_postgres


def main():
    try:
        with debian_postgres() as server:
            done = subprocess.run(sys.argv[1:], env=os.environ | {"DATABASE_URL": server.url()}, check=False)
    except pytest.skip.Exception as missing:
        sys.exit(str(missing))
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
