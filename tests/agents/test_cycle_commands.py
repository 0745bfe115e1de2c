"""The commands of the cycles, as processes of their own: one pass, or a loop that ends when it is told to."""

import json
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agents.announce import process_place
from agents.models import Agent, HookEvent
from locks import LockNamespace, advisory_lock
from tests.agents.payload_files import payload
from tests.agents.replay import WITHIN, eventually
from tests.agents.web import ask, environment

pytestmark = pytest.mark.django_db(transaction=True)

CALL = payload("claude-code", "pre-tool-use.write.json")
START = CALL | {"hook_event_name": "SessionStart"}
KEYS = {"cycle", "began_at", "judged", "skipped", "failed", "done"}
AGO = timedelta(hours=2)


def command(*words):
    """Return how a command of manage.py is started, for ``subprocess``."""
    return {
        "args": [sys.executable, str(settings.BASE_DIR / "manage.py"), *words],
        "env": environment(LOG_LEVEL="WARNING"),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def run(*words):
    return subprocess.run(**command(*words), check=False, timeout=2 * WITHIN)


@contextmanager
def running(*words):
    """Yield a command that goes on, and hold its end against what a stop must be like."""
    process = subprocess.Popen(**command(*words))
    try:
        yield process
        assert process.wait(WITHIN) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


def next_report(process):
    ready, _, _ = select.select([process.stdout], [], [], WITHIN)
    assert ready, "no report came"
    return json.loads(process.stdout.readline())


@pytest.fixture
def silent_agent(door):
    """An agent at work whose process is another one by now, and that was silent for hours."""
    with door.wire() as wire:
        wire.post(START, X_Headspace_Process=f"1 1 {process_place()}")
        wire.post(CALL)
    agent = Agent.objects.get()
    Agent.objects.update(started_at=timezone.now() - AGO, last_seen_at=timezone.now() - AGO)
    return agent


@pytest.mark.parametrize("cycle", ["reap", "drain"])
def test_one_pass_is_reported_in_words_and_for_machines(cycle, door):
    said, for_machines = run(cycle), run(cycle, "--json")
    assert (said.returncode, for_machines.returncode) == (0, 0), said.stderr + for_machines.stderr
    assert said.stdout.strip() == f"{cycle}: judged=0 skipped=0 failed=0"
    report = json.loads(for_machines.stdout)
    assert report.keys() == KEYS and report["cycle"] == cycle and report["done"] == {}
    assert for_machines.stdout.count("\n") == 1


def test_a_pass_of_the_command_does_what_the_cycle_does(silent_agent):
    assert json.loads(run("reap", "--json").stdout)["done"] == {"ended": 1}
    silent_agent.refresh_from_db()
    assert (silent_agent.presence, silent_agent.state) == ("ended", "idle")


@pytest.mark.parametrize("cycle", ["reap", "drain"])
@pytest.mark.parametrize("every", ["0", "-1", "soon", "nan", "inf", ""])
def test_a_period_that_cannot_be_meant_is_refused(cycle, every, door):
    done = run(cycle, f"--every={every}")
    assert done.returncode == 2 and done.stdout == ""
    assert "--every" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_loop_passes_again_and_again_until_it_is_told_to_stop(number, door):
    with running("reap", "--every", "0.2", "--json") as process:
        began = [next_report(process)["began_at"] for _ in range(3)]
        assert began == sorted(set(began))
        process.send_signal(number)
        told_at = time.monotonic()
        process.wait(WITHIN)
        assert time.monotonic() - told_at < 10


def test_a_loop_that_sleeps_long_stops_at_once(door):
    with running("drain", "--every", "600", "--json") as process:
        next_report(process)
        process.terminate()
        process.wait(10)


def test_a_loop_does_what_there_is_to_do_and_says_only_that(silent_agent):
    with running("reap", "--every", "0.2") as process:
        ready, _, _ = select.select([process.stdout], [], [], WITHIN)
        assert ready and process.stdout.readline().strip() == "reap: judged=1 skipped=0 failed=0 ended=1"
        process.terminate()
        assert process.stdout.read() == ""


def test_a_loop_that_is_told_to_stop_in_a_pass_finishes_it(silent_agent):
    with running("reap", "--every", "600", "--json") as process:
        with transaction.atomic():
            Agent.objects.locked_nowait(silent_agent.pk)
            eventually(lambda: ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'"))
            process.terminate()
            assert process.poll() is None
        assert next_report(process)["done"] == {"ended": 1}
    silent_agent.refresh_from_db()
    assert silent_agent.presence == "ended"


def test_two_loops_side_by_side_do_everything_once(door):
    with door.wire() as wire:
        for number in range(20):
            wire.post(START | {"session_id": f"s{number}"}, X_Headspace_Process=f"1 1 {process_place()}")
    Agent.objects.update(started_at=timezone.now() - AGO, last_seen_at=timezone.now() - AGO)
    with running("reap", "--every", "0.1", "--json") as one, running("reap", "--every", "0.1", "--json") as other:
        eventually(lambda: not Agent.objects.exclude(presence="ended").exists())
        for process in (one, other):
            next_report(process)
            process.terminate()
    ends = Agent.objects.filter(changes__after="ended")
    assert ends.count() == ends.distinct().count() == 20


def test_the_drain_skips_an_agent_that_is_locked_and_says_so(door):
    with door.wire() as wire:
        wire.post(START)
    agent = Agent.objects.get()
    HookEvent.objects.create(
        host=agent.host, agent=agent, vendor="claude-code", session_id=agent.session_id, name="Stop", key="client:k",
        received_at=timezone.now(), outcome="pending", payload=CALL,
    )  # fmt: skip
    with transaction.atomic(), advisory_lock(LockNamespace.AGENT, agent.pk):
        assert json.loads(run("drain", "--json").stdout)["skipped"] == 1
    assert json.loads(run("drain", "--json").stdout)["done"] == {"drained": 1}
