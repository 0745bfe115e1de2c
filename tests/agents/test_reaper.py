"""The reaper: silence labels an agent, only evidence ends it."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from agents.announce import process_place, process_start
from agents.cycles import reaper
from agents.models import Agent, AgentSession, HookEvent, StateChange
from locks import LockNamespace, advisory_lock
from tests.agents.payload_files import payload
from tests.agents.replay import WITHIN, eventually

pytestmark = pytest.mark.django_db(transaction=True)

CALL = payload("claude-code", "pre-tool-use.write.json")
SILENT, UNKNOWN = timedelta(minutes=5), timedelta(minutes=30)
"""The limits as they are set; the reaper is told the time."""


@pytest.fixture
def process():
    """A process that lives until the test ends it."""
    child = subprocess.Popen(["sleep", "600"])
    yield child
    child.kill()
    child.wait(WITHIN)


@pytest.fixture
def wire(door):
    with door.wire() as found:
        yield found


def named(pid, start=None, place=None):
    return f"{pid} {start or process_start(pid)} {place or process_place()}"


def working(wire, process="", session_id="s1"):
    """Return an agent at work, with a question open, and the process that it said it was."""
    headers = {"X_Headspace_Process": process} if process else {}
    wire.post({**CALL, "session_id": session_id, "hook_event_name": "SessionStart"}, **headers)
    for name in ("UserPromptSubmit", "PreToolUse", "PermissionRequest"):
        wire.post({**CALL, "session_id": session_id, "hook_event_name": name, "prompt": "Do it."})
    agent = Agent.objects.get(session_id=session_id)
    assert agent.state == "awaiting_input"
    return agent


def reap(after):
    """Run one pass that long after now."""
    return reaper.run_once(timezone.now() + after)


def presence(agent):
    agent.refresh_from_db()
    return agent.presence


# -- evidence -----------------------------------------------------------------


def test_an_agent_with_a_living_process_survives_40_minutes_of_silence(wire, process):
    agent = working(wire, named(process.pid))
    report = reap(timedelta(minutes=40))
    assert (report.judged, report.done) == (1, {"living": 1})
    assert (presence(agent), agent.state, agent.ended_at) == ("alive", "awaiting_input", None)
    assert not agent.changes.filter(command=None).exists()


def test_an_agent_whose_process_is_gone_ends_with_all_that_it_had_open(wire, process):
    agent = working(wire, named(process.pid))
    process.kill()
    process.wait(WITHIN)
    report = reap(SILENT)
    assert (report.judged, report.done) == (1, {"ended": 1})
    assert (presence(agent), agent.state) == ("ended", "idle")
    assert "process" in agent.end_reason and "process" in agent.reason and agent.ended_at
    command = agent.commands.get()
    assert (command.state, command.outcome) == ("complete", "abandoned") and "process" in command.reason
    assert agent.waits.get().closed_at and agent.sessions.get().ended_at
    moves = agent.changes.order_by("pk").values_list("before", "after", "trigger")
    assert list(moves)[-2:] == [("awaiting_input", "complete", "loss"), ("alive", "ended", "reap")]


def test_a_process_that_nobody_has_waited_for_is_gone(wire, process):
    agent = working(wire, named(process.pid))
    process.kill()
    eventually(lambda: process_start(process.pid) is None)  # a zombie
    reap(SILENT)
    assert presence(agent) == "ended"


def test_another_process_under_the_same_id_is_not_the_agent(wire, process):
    agent = working(wire, named(process.pid, start="1"))
    assert reap(SILENT).done == {"ended": 1}
    assert presence(agent) == "ended"


@pytest.mark.parametrize("place", ["other-boot/4026531836", "same-boot-other-namespace/1"])
def test_a_process_elsewhere_is_no_evidence(place, wire):
    agent = working(wire, named(1, start="1", place=place))
    assert reap(UNKNOWN - timedelta(minutes=1)).done == {}
    assert presence(agent) == "alive"
    assert reap(UNKNOWN + timedelta(minutes=1)).done == {"unknown": 1}
    assert (presence(agent), agent.ended_at) == ("unknown", None)


# -- silence ------------------------------------------------------------------


def test_silence_alone_makes_an_agent_unknown_and_never_ends_it(wire):
    agent = working(wire)
    assert reap(UNKNOWN - timedelta(minutes=1)).done == {}
    assert presence(agent) == "alive"
    assert reap(UNKNOWN).done == {"unknown": 1}
    assert (presence(agent), agent.state, agent.ended_at) == ("unknown", "awaiting_input", None)
    assert "not heard" in agent.reason
    change = agent.changes.latest("pk")
    assert (change.before, change.after, change.trigger, change.event) == ("alive", "unknown", "reap", None)
    assert reap(timedelta(days=365)).done == {}
    assert (presence(agent), agent.changes.latest("pk")) == ("unknown", change)


def test_an_unknown_agent_is_alive_when_it_is_heard_again(wire):
    agent = working(wire)
    reap(UNKNOWN)
    assert wire.post(CALL | {"session_id": "s1", "hook_event_name": "PostToolUse"}).outcome == "applied"
    assert (presence(agent), agent.state, agent.generation) == ("alive", "processing", 1)
    presences = agent.changes.filter(command=None).order_by("pk").values_list("before", "after")
    assert list(presences) == [("alive", "unknown"), ("unknown", "alive")]


def test_an_agent_that_was_heard_lately_is_not_looked_at(wire, process):
    agent = working(wire, named(process.pid, start="1"))
    assert reap(SILENT - timedelta(seconds=30)).judged == 0
    assert presence(agent) == "alive"


def test_an_agent_that_has_ended_is_not_looked_at(wire):
    working(wire)
    wire.post(CALL | {"session_id": "s1", "hook_event_name": "SessionEnd", "reason": "other"})
    before = StateChange.objects.count()
    assert reap(timedelta(days=1)).judged == 0
    assert StateChange.objects.count() == before


def test_what_comes_after_the_end_is_late_and_a_resume_begins_anew(wire, process):
    agent = working(wire, named(process.pid, start="1"))
    reap(SILENT)
    assert wire.post(CALL | {"session_id": "s1", "hook_event_name": "PostToolUse"}).outcome == "late"
    assert presence(agent) == "ended"
    resumed = {"session_id": "s1", "hook_event_name": "SessionStart", "source": "resume"}
    wire.post(CALL | resumed, X_Headspace_Process=named(process.pid))
    assert (presence(agent), agent.generation) == ("alive", 2)
    assert reap(timedelta(hours=10)).done == {"living": 1}


def test_the_second_of_two_passes_finds_nothing_to_do(wire, process):
    agent = working(wire, named(process.pid, start="1"))
    reap(SILENT)
    version = Agent.objects.get().version
    assert reap(SILENT).judged == 0
    assert Agent.objects.get().version == version and presence(agent) == "ended"


# -- others -------------------------------------------------------------------


def elsewhere(call, *args):
    """Make a call in another thread, on a connection of its own."""

    def there():
        try:
            return call(*args)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(there).result(WITHIN)


def test_an_agent_that_is_locked_is_skipped_and_left_alone(wire, process):
    agent, other = working(wire, named(process.pid, start="1")), working(wire, named(process.pid, start="1"), "s2")
    with transaction.atomic(), advisory_lock(LockNamespace.AGENT, agent.pk):
        report = elsewhere(reap, SILENT)
    assert (report.judged, report.skipped, report.failed, report.done) == (1, 1, 0, {"ended": 1})
    assert (presence(agent), presence(other)) == ("alive", "ended")
    assert reap(SILENT).done == {"ended": 1}


def test_one_bad_agent_does_not_stop_the_pass(wire, process):
    for session_id in ("s1", "s2", "s3"):
        working(wire, named(process.pid, start="1"), session_id)
    bad = Agent.objects.get(session_id="s2")
    with connection.cursor() as cursor:
        cursor.execute("""UPDATE agents_agent SET working = '{"tools": 5}' WHERE id = %s""", [bad.pk])
    report = reap(SILENT)
    assert (report.judged, report.failed, report.skipped, report.done) == (2, 1, 0, {"ended": 2})
    assert dict(Agent.objects.values_list("session_id", "presence")) == {"s1": "ended", "s2": "alive", "s3": "ended"}


def test_a_hook_that_waits_in_the_inbox_saves_its_agent(wire, process):
    agent = working(wire)
    heard_at = timezone.now() - UNKNOWN
    Agent.objects.update(started_at=heard_at, last_seen_at=heard_at)
    HookEvent.objects.create(
        host=agent.host, agent=agent, vendor="claude-code", session_id="s1", name="PostToolUse", key="client:k",
        received_at=timezone.now(), outcome="pending", payload=CALL | {"session_id": "s1"},
    )  # fmt: skip
    assert reap(timedelta(0)).done == {}
    assert (presence(agent), agent.state) == ("alive", "processing")
    assert agent.last_seen_at > timezone.now() - SILENT


def test_ever_more_unknown_agents_keep_nobody_from_being_looked_at(wire, process):
    agent = working(wire, named(process.pid, start="1"))
    long_ago = timezone.now() - timedelta(days=100)
    same = {"host": agent.host, "project": agent.project, "vendor": "claude-code", "presence": "unknown"}
    with transaction.atomic():
        unknown = Agent.objects.bulk_create(
            Agent(session_id=f"u{number}", started_at=long_ago, last_seen_at=long_ago, **same)
            for number in range(reaper.AT_MOST)
        )
        AgentSession.objects.bulk_create(
            AgentSession(agent=one, host=one.host, vendor=one.vendor, session_id=one.session_id, started_at=long_ago)
            for one in unknown
        )
    assert reap(SILENT).done == {"ended": 1}
    assert presence(agent) == "ended"
