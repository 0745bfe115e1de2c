import json
import os
import signal
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from locks import LockNamespace, advisory_lock, labelled
from locks.errors import MonitorTimeout
from locks.monitor import snapshot
from tests.locks.actors import PATIENCE, ask, until_waiting

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


def _output(*arguments):
    out = StringIO()
    call_command("locks", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def jam(actor):
    holder, waiter = actor(), actor()
    for one, who in [(holder, "hook [stop]"), (waiter, "cycle reap")]:
        one.enter(transaction.atomic())
        one.enter(labelled(who, "c-1"))
    holder.enter(advisory_lock(AGENT, 42))
    waiter.start_entering(advisory_lock(AGENT, 42))
    until_waiting(waiter)
    return holder.pid, waiter.pid


def test_it_says_when_nobody_waits():
    lines = _output().splitlines()

    assert lines == ["Nobody waits.", "last hour: timeouts 0, skips 0, waits over 1s 0, lost 0"]


def test_it_draws_who_waits_behind_whom(jam):
    text = _output()

    assert "1 in the way of others" in text
    assert f"hook [stop] (pid {jam[0]}, idle in transaction)" in text
    assert f"cycle reap (pid {jam[1]}) waits for AGENT 42" in text
    assert text.index(str(jam[0])) < text.index(str(jam[1]))


def test_a_lock_that_is_not_ours_is_called_so(actor):
    stranger = actor()
    stranger.do(ask, "SELECT pg_advisory_lock(-5)")

    assert "key -5, not ours" in _output()


def test_as_json_it_prints_what_the_api_answers(jam):
    printed = json.loads(_output("--json"))
    expected = json.loads(json.dumps(snapshot().as_json()))
    for body in (printed, expected):
        for lock in body["locks"]:
            lock["held_seconds"] = lock["wait_seconds"] = None

    assert printed == expected
    assert printed["count"] == 2


def test_a_database_that_is_too_busy_is_said_in_one_line(monkeypatch):
    def too_busy():
        raise MonitorTimeout("too busy")

    monkeypatch.setattr("locks.management.commands.locks.snapshot", too_busy)
    with pytest.raises(CommandError, match="too busy"):
        _output()


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan"])
def test_watching_needs_a_pause_that_can_be(seconds):
    with pytest.raises(CommandError, match="number of seconds"):
        _output("--watch", seconds)


def test_watching_looks_again_until_it_is_interrupted():
    settings = connection.settings_dict
    url = "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**settings)
    watching = subprocess.Popen(
        [sys.executable, "manage.py", "locks", "--watch", "0.01"],
        env=os.environ | {"DATABASE_URL": url},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = threading.Timer(6 * PATIENCE, watching.kill)
    deadline.start()
    try:
        looks = [watching.stdout.readline() for _ in range(4)]
        watching.send_signal(signal.SIGINT)
        rest, _ = watching.communicate()
    finally:
        deadline.cancel()
        watching.kill()
        watching.wait()
    assert looks[::2] == [b"Nobody waits.\n"] * 2
    assert watching.returncode == 0
    assert b"Traceback" not in rest
