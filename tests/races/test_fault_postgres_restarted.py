"""PostgreSQL is restarted, or killed, under load: nothing that was acknowledged is lost, nothing is applied twice.

While it is down a hook is answered 503 and nothing is stored, for there is nowhere to store it; a client that comes
again with the same key until it is told yes has every hook there once.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from headspace.embedded_postgres import EmbeddedPostgres
from headspace.env import child_environment
from tests.races.hooks import Session
from tests.races.meeting import Actor, answers, wait_until
from tests.races.web import PROJECT, Web

CLIENTS = 4
ENOUGH = 40
"""How many hooks are acknowledged before the restart, and again after it."""

SLOPPY = [
    "ALTER SYSTEM SET synchronous_commit = off",
    "ALTER SYSTEM SET wal_writer_delay = '10s'",
    "SELECT pg_reload_conf()",
]


class Place:
    """A server of its own with Headspace's tables and one host, and a web on it."""

    def __init__(self, directory):
        self.server = EmbeddedPostgres(directory / "data")
        self.url = self.server.start()
        self._environment = child_environment() | {"DATABASE_URL": self.url, "HEADSPACE_DATA": str(directory / "data")}
        self.manage("migrate")
        self.token = json.loads(self.manage("hosts", "add", "machine", "--json"))["token"]
        self.web = Web(CLIENTS, database=self.url)
        self.web.wait_until_ready()

    def manage(self, *words):
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(command, cwd=PROJECT, env=self._environment, capture_output=True, text=True, check=True)
        return done.stdout

    def ask(self, sql):
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(sql)
            return found.fetchall() if found.description else []

    def close(self):
        self.web.stop()
        self.server.stop()


@pytest.fixture
def place():
    directory = Path(tempfile.mkdtemp(prefix="headspace-races-"))
    directory.chmod(0o711)
    made = Place(directory)
    yield made
    made.close()
    shutil.rmtree(directory)


def restart(server):
    server.stop()
    server.start()


def kill(server):
    """End it as the kernel does when memory runs out."""
    os.kill(int((server.files.cluster / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    server.start()


class Load:
    """Clients that send hook after hook, each until it is acknowledged."""

    def __init__(self, place):
        self.acknowledged = []
        self.refused = []
        self._over = threading.Event()
        sessions = [Session(place.token, f"s{number}", send=place.web.post) for number in range(CLIENTS)]
        self._actors = [Actor(self._live, session) for session in sessions]

    def _live(self, session):
        self._send(session, session.start, "start")
        number = 0
        while not self._over.is_set():
            number += 1
            doing = replace(session, prompt_id=f"p{number}")
            for name, hook in {"prompt": doing.prompt, "stop": doing.stop}.items():
                self._send(session, hook, f"{name}{number}")

    def _send(self, session, hook, name):
        key = f"{session.session}-{name}"
        wait_until(lambda: self._try(hook, key))

    def _try(self, hook, key):
        answer = hook(key=key)
        (self.acknowledged if answer.is_good else self.refused).append((key, answer.status))
        return answer.is_good

    def wait_for(self, count):
        wait_until(lambda: len(self.acknowledged) >= count or any(actor.is_done for actor in self._actors), 120)

    def end(self):
        self._over.set()
        answers(self._actors)


def what_broke(place, interrupt):
    """Interrupt the server under load; return what is wrong in the end."""
    load = Load(place)
    load.wait_for(ENOUGH)
    interrupt(place.server)
    load.wait_for(len(load.acknowledged) + ENOUGH)
    load.end()
    place.manage("drain")
    found = {f"{status} answered" for _, status in load.refused if status != 503}
    keys = {key for (key,) in place.ask("SELECT split_part(key, ':', 2) FROM agents_hookevent")}
    lost = {key for key, _ in load.acknowledged} - keys
    found |= {f"lost: {key}" for key in lost}
    return found if lost else found | _half_written(place)


def _half_written(place):
    """Return the commands that are not one prompt and one stop, and the agents whose version is not their hooks'."""
    commands = place.ask(
        "SELECT a.session_id, c.prompt_ids, c.state, c.outcome, count(t.*) FROM agents_command c"
        " JOIN agents_agent a ON a.id = c.agent_id LEFT JOIN agents_turn t ON t.command_id = c.id"
        " GROUP BY a.session_id, c.id"
    )
    found = {str(row) for row in commands if row[2:] != ("complete", "completed", 2)}
    found |= {str(row) for row in commands if sum(row[:2] == other[:2] for other in commands) != 1}
    agents = place.ask(
        "SELECT a.session_id, a.version, count(*) FROM agents_agent a JOIN agents_hookevent e ON e.agent_id = a.id"
        " WHERE e.outcome = 'applied' GROUP BY a.id"
    )
    return found | {str(row) for row in agents if row[1] != row[2]}


@pytest.mark.parametrize("interrupt", [restart, kill])
def test_what_was_acknowledged_is_there_once(place, interrupt):
    assert what_broke(place, interrupt) == set()


def test_mutant_were_it_acknowledged_before_it_is_on_disk_it_would_be_lost(place):
    for sentence in SLOPPY:
        place.ask(sentence)
    found = what_broke(place, kill)
    assert any(sentence.startswith("lost") for sentence in found), found
