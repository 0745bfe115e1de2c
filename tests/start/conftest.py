import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from headspace.embedded_postgres import EmbeddedPostgres

PROJECT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
START = """
import sys
from pathlib import Path
from headspace.embedded_postgres import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).start())
"""
SITE_PACKAGES = Path(pytest.__file__).parents[1]


def as_nobody():
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def python_for_nobody():
    """Return a Python like ours that a plain user can run with our packages, or nothing."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    try_it = f"import sys; sys.path.append({str(SITE_PACKAGES)!r}); import pytest, headspace"
    for candidate in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        try:
            done = subprocess.run([candidate, "-c", try_it], cwd=PROJECT, capture_output=True, **as_nobody())
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    return None


PYTHON_FOR_NOBODY = python_for_nobody() if AS_ROOT else None
needs_a_plain_user = pytest.mark.skipif(
    not PYTHON_FOR_NOBODY, reason="needs root, and a checkout and a Python that another user can read"
)


def wait_until(true, within=20):
    """Return what `true()` says as soon as it is truthy."""
    give_up_at = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < give_up_at, f"not within {within} s: {true}"
        time.sleep(0.02)
    return found


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def postmaster(server):
    return int(server.files.stale_process() or 0)


def kill_postmaster(server):
    """Kill it as the kernel does when memory runs out."""
    os.kill(postmaster(server), signal.SIGKILL)


def of_process(pid, name):
    """Return a file of /proc, or nothing if the process has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def gone(pid):
    """Say whether the process has ended; a zombie has."""
    return of_process(pid, "stat").rpartition(")")[2].split()[:1] in ([], ["Z"])


def parent(pid):
    """Return the parent's process id; 0 if the process has ended meanwhile."""
    return int((of_process(pid, "stat").rpartition(")")[2].split() or "00")[1])


def answers(url):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute("select pg_postmaster_start_time()").fetchone()[0]


def python(script, *arguments, executable=sys.executable, **options):
    command = [executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@contextmanager
def a_place():
    directory = Path(tempfile.mkdtemp(prefix="headspace-start-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def place():
    """A directory that PostgreSQL's account can reach; pytest's own are private to root."""
    with a_place() as directory:
        yield directory


@pytest.fixture(scope="module")
def shared_place():
    with a_place() as directory:
        yield directory


@pytest.fixture
def server(place):
    made = EmbeddedPostgres(place / "kept", durable=False)
    yield made
    made.stop()


@pytest.fixture
def durable_server(place):
    made = EmbeddedPostgres(place / "kept")
    yield made
    made.stop()


def children(pid):
    """Return the process ids of all descendants."""
    tasks = [task.name for task in Path(f"/proc/{pid}/task").glob("*")]
    direct = [int(word) for task in tasks for word in of_process(pid, f"task/{task}/children").split()]
    return [each for child in direct for each in (child, *children(child))]
