"""X1: what is heard of a session after its end is journaled as late and never brings it back; a resume does."""

import json
from dataclasses import replace

import pytest

from agents import transitions
from agents.models import AgentSession
from tests.agents.payload_files import files, payload
from tests.races.hooks import Session
from tests.races.meeting import meet
from tests.races.mutants import NO_AGENT_LOCK, NO_VERSION_CHECK, replaced, rewritten, without
from tests.races.truths import agent_of, broken, ends

REVIVE = {"resume", "clear", "fork"}
TERMINAL = ("agents_command", "complete_is_terminal")
VENDORS = ["claude-code", "codex"]


def late_kinds(vendor):
    """Yield every payload file of a vendor that is no revival, as (file, payload)."""
    for file in sorted(files(vendor)):
        if file.endswith(".json"):
            told = payload(vendor, file)
            if told.get("source") not in REVIVE:
                yield file, told


def as_it_is(session_id):
    """Return what must stay as it is once an agent has ended."""
    session = AgentSession.objects.select_related("agent").get(session_id=session_id)
    agent = session.agent
    return {
        "presence": agent.presence,
        "generation": agent.generation,
        "ended_at": agent.ended_at,
        "end_reason": agent.end_reason,
        "session_ended_at": session.ended_at,
        "open commands": agent.commands.exclude(state="complete").count(),
        "open waits": agent.waits.filter(closed_at=None).count(),
        "turns": agent.turns.count(),
    }


def heard_late(host, vendor):
    """Let everything that a vendor tells come after the end; return the files that changed anything."""
    changed = []
    for file, told in late_kinds(vendor):
        session = Session(host.token, session=file, vendor=vendor)
        for step in (session.start, session.prompt, session.end):
            step()
        before = as_it_is(file)
        body = json.dumps({**told, "session_id": file})
        answer = session.send(f"/hooks/{vendor}", body, {"Authorization": f"Bearer {host.token}"})
        if as_it_is(file) != before or answer.outcome != "late":
            changed.append((file, answer.outcome))
    return changed


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_kind_of_event_brings_an_agent_back(host, vendor):
    assert len(list(late_kinds(vendor))) > 8
    assert heard_late(host, vendor) == []
    assert broken() == []


def test_mutant_were_everything_a_revival_most_kinds_would(host):
    with replaced(transitions, "_revives", lambda event: True):
        changed = dict(heard_late(host, "claude-code"))
    assert {"pre-tool-use.bash.json", "stop.json", "user-prompt-submit.json", "session-start.json"} <= changed.keys()


def call(session):
    return session.pre("t1")


def next_prompt(session):
    return replace(session, prompt_id="p2").prompt("Next.")


def notification(session):
    return session.notice()


def subagent(session):
    return session.pre("s1", agent_id="sub1")


def compacted(session):
    return session.start("compact")


RACERS = [call, next_prompt, notification, subagent, compacted]


def ended_in_between(session, racer):
    """Let the session end while another hook, decided on the living agent, is on its way to the rows."""
    heard = meet(agent_of().pk, session.end, lambda: racer(session))
    return agent_of().presence, heard[1].outcome, broken()


@pytest.mark.parametrize("racer", RACERS)
def test_a_hook_that_was_decided_before_the_end_is_late_after_it(agent, apart, racer):
    assert ended_in_between(agent, racer) == ("ended", "late", [])
    assert ends(agent_of()) == [("p1", "complete", "abandoned")]


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, NO_AGENT_LOCK], ids=["version", "lock"])
@pytest.mark.parametrize("racer", RACERS)
def test_mutant_without_a_guard_it_brings_the_agent_back(agent, apart, racer, guard):
    with without(*TERMINAL), rewritten(guard):
        presence, _, found = ended_in_between(agent, racer)
    assert presence == "alive"
    assert found != []


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, NO_AGENT_LOCK], ids=["version", "lock"])
def test_the_trigger_alone_sends_the_call_back_to_be_judged_again(agent, apart, guard):
    with rewritten(guard):
        assert ended_in_between(agent, call) == ("ended", "late", [])


@pytest.mark.parametrize("source", sorted(REVIVE))
def test_a_session_that_goes_on_is_a_new_generation(agent, source):
    agent.end()
    assert agent.start(source).outcome == "applied"
    found = agent_of()
    assert (found.presence, found.generation, found.ended_at) == ("alive", 2, None)
    assert found.sessions.get().ended_at is None
    assert broken() == []


def test_what_is_heard_late_of_the_generation_before_leaves_the_new_one_alone(agent):
    agent.pre("t1")
    agent.end()
    agent.start("resume")
    later = replace(agent, prompt_id="p2")
    later.prompt("Go on.")
    for told in (agent.post, agent.ask):
        told("t1")
    agent.notice()
    agent.stop()
    assert ends(agent_of()) == [("p1", "complete", "completed"), ("p2", "commanded", "")]
    assert not agent_of().waits.filter(closed_at=None).exists()
    assert broken() == []
