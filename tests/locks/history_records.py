"""A history of sections: the workers that make it, and what is wrong with it."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from django.core.management import call_command

from tests.servers import django_database

PROJECT = Path(__file__).resolve().parents[2]
WITHIN = 90.0
TABLE = """
    CREATE TABLE history (token bigint NOT NULL, entered_at timestamptz NOT NULL, worker text NOT NULL);
    CREATE SEQUENCE history_number
"""
ROWS = "SELECT token, entered_at, pg_xact_commit_timestamp(xmin), worker FROM history ORDER BY 3"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


@dataclass
class Row:
    token: int
    entered_at: object
    committed_at: object
    worker: str


def prepare(server):
    """Make the library's functions and the table."""
    with django_database(server.url()) as alias:
        call_command("migrate", "locks", database=alias, verbosity=0)
    server.do(TABLE)


def rows_of(server):
    """Return the rows in the order of their commits."""
    with server.connect() as raw:
        return [Row(*row) for row in raw.execute(ROWS).fetchall()]


class Workers:
    """Processes; each ends when it has done its rounds."""

    def __init__(self, directory, count, rounds, way="session", **environment):
        self._directory = directory
        self._rounds = rounds
        self._way = way
        self._environment = os.environ | {"DJANGO_SETTINGS_MODULE": "headspace.settings"} | environment
        self.names = [f"w{number}" for number in range(count)]
        self._processes = {name: self._started(name) for name in self.names}

    def _started(self, name):
        (self._directory / name).touch()
        words = [name, str(self._rounds), self._way, str(self._directory / name)]
        with (self._directory / "log").open("ab") as log:
            command = [sys.executable, "-m", "tests.locks.history_worker", *words]
            return subprocess.Popen(command, cwd=PROJECT, env=self._environment, stdout=log, stderr=log)

    def said(self, word):
        """Return each worker's tokens behind the word, in the order in which it said them."""
        lines = {name: (self._directory / name).read_text().split("\n") for name in self.names}
        return {name: [int(line.split()[1]) for line in of if line.startswith(word)] for name, of in lines.items()}

    def all_said(self, word):
        return [token for tokens in self.said(word).values() for token in tokens]

    @property
    def is_done(self):
        return all(process.poll() is not None for process in self._processes.values())

    def wait_for(self, fact, within=None):
        """Wait until the fact is true or all are done; return whether it came about.

        ``within``: seconds after which it is false; otherwise the test fails when it takes too long.
        """
        deadline = time.monotonic() + (within or WITHIN)
        while not fact():
            if self.is_done or (within and time.monotonic() > deadline):
                return False
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.002)
        return True

    def wait_for_kept(self, count, within=None):
        return self.wait_for(lambda: len(self.all_said("kept")) >= count, within)

    @contextmanager
    def frozen(self, name):
        """Stop one in its tracks (SIGSTOP) for the time of the block."""
        process = self._processes[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def kill(self, name):
        """Kill one of them (SIGKILL), and start another one in its place."""
        if self._processes[name].poll() is None:
            self._processes[name].kill()
            self._processes[name].wait()
            self._processes[name] = self._started(name)

    def finish(self):
        """Let all do their rounds."""
        self.wait_for(lambda: self.is_done)
        codes = {name: process.returncode for name, process in self._processes.items()}
        assert set(codes.values()) == {0}, f"{codes}\n{self.log()}"

    def end(self):
        for process in self._processes.values():
            process.kill()
            process.wait()

    def log(self):
        return (self._directory / "log").read_text()[-4000:]


@contextmanager
def working(*args, **kwargs):
    workers = Workers(*args, **kwargs)
    try:
        yield workers
    finally:
        workers.end()


def wrong_with_rows(rows):
    """Return what can not be, were there one holder after the other: sections that overlap, tokens that fall."""
    found = []
    for one, other in pairwise(rows):
        if other.token <= one.token:
            found.append(f"token {other.token} was committed after {one.token}")
        if other.entered_at < one.committed_at:
            found.append(f"{other.worker} was in ({other.token}) before {one.worker} had committed ({one.token})")
    return found


def wrong_with_words(workers, rows, *, may_lose=False):
    """Return what was told twice or in falling order, and what was acknowledged and is not there."""
    told = workers.said("told")
    twice = [token for token, times in Counter(workers.all_said("told")).items() if times > 1]
    found = [f"token {token} was told twice" for token in twice]
    for name, tokens in told.items():
        found += [f"{name} was told {later} after {token}" for token, later in pairwise(tokens) if later <= token]
    lost = set(workers.all_said("kept")) - {row.token for row in rows}
    return found + ([] if may_lose else [f"{token} was acknowledged and is not there" for token in sorted(lost)])


def until_no_lock_is_left(server):
    deadline = time.monotonic() + WITHIN
    while server.ask(LOCKS):
        assert time.monotonic() < deadline, "locks are left"
