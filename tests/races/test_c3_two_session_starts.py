"""C3, first part: two session starts at once have one effect, also when one of them dies half-way.

The second part comes with the messages that a session start delivers (skill, handoff, revival texts): each at most
once, by a compare-and-set of ``delivered_at``, a crash between sending and marking included. There is no message yet;
what they will hang on, one agent, one generation and one journal row per start, is proved here.
"""

from contextlib import ExitStack

import pytest

from agents.models import Agent, AgentSession, HookEvent
from tests.races.hooks import RECORD, Session
from tests.races.meeting import Actor, Point, another_connection, gather, meet, passing, wait_until, waiting
from tests.races.mutants import (
    BLIND_LOOK,
    BLIND_RECORD,
    NO_AGENT_LOCK,
    NO_CONFLICT,
    NO_NAME_LOCK,
    NO_VERSION_CHECK,
    rewritten,
    without,
)
from tests.races.truths import agent_of, broken, outcomes

NAMING = 'INSERT INTO "agents_agentsession"'
ONE_AGENT = ("agents_agentsession", "session_has_one_agent")
ONE_ROW = ("agents_hookevent", "event_one_row_per_key")


def first_starts(session, *sources):
    """Let session starts that nobody knows yet come at once; return what is wrong then."""
    heard = gather(NAMING, [lambda source=source: session.start(source) for source in sources])
    found = [f"{answer.status} answered" for answer in heard if not answer.is_good] + broken()
    counts = {"agents": Agent.objects.count(), "sessions": AgentSession.objects.count()}
    found += [f"{count} {name}" for name, count in counts.items() if count != 1]
    rows = HookEvent.objects.count()
    return found if rows == len(set(sources)) else [*found, f"{rows} rows for {len(set(sources))} starts"]


@pytest.mark.parametrize("sources", [("startup", "resume"), ("startup", "startup"), ("startup",) * 8])
def test_two_first_starts_make_one_agent_and_each_counts_once(host, apart, sources):
    assert first_starts(Session(host.token), *sources) == []
    assert outcomes() == {"applied": len(set(sources))}


MUTANTS = [
    ([NO_NAME_LOCK], [], ("startup", "resume"), "500 answered"),
    ([NO_NAME_LOCK], [ONE_AGENT], ("startup", "resume"), "2 agents"),
]


@pytest.mark.parametrize(("guards", "constraints", "sources", "seen"), MUTANTS)
def test_mutant_without_its_guards_one_start_has_two_effects(host, apart, guards, constraints, sources, seen):
    with ExitStack() as off:
        for constraint in constraints:
            off.enter_context(without(*constraint))
        off.enter_context(rewritten([change for guard in guards for change in guard]))
        found = first_starts(Session(host.token), *sources)
    assert seen in found, found


def delivered_twice(session):
    """Let a start of a known session be delivered twice at once, as by a client whose hook is installed twice."""
    heard = meet(agent_of().pk, lambda: session.start("compact"), lambda: session.start("compact"))
    return [answer.outcome for answer in heard], HookEvent.objects.filter(name="SessionStart").count()


def test_a_start_that_is_delivered_twice_counts_once(agent, apart):
    assert delivered_twice(agent) == (["applied", "duplicate"], 2)
    assert broken() == []


@pytest.mark.parametrize("guard", [BLIND_LOOK, BLIND_RECORD], ids=["look", "record"])
def test_one_look_at_the_key_is_enough(agent, apart, guard):
    with rewritten(guard):
        assert delivered_twice(agent) == (["applied", "duplicate"], 2)


def test_without_a_look_the_unique_key_is_enough(agent, apart):
    with rewritten([*BLIND_LOOK, *BLIND_RECORD]):
        assert delivered_twice(agent) == (["applied", "duplicate"], 2)


def test_mutant_without_any_of_the_three_it_counts_twice(agent, apart):
    with without(*ONE_ROW), rewritten([*BLIND_LOOK, *BLIND_RECORD, *NO_CONFLICT]):
        assert delivered_twice(agent) == (["applied", "applied"], 3)


def resumed_twice(session):
    """Let an agent that has ended be resumed by two starts at once; return its generation and what is wrong."""
    session.end()
    agent = agent_of()
    meet(agent.pk, lambda: session.start("resume", key="k1"), lambda: session.start("resume", key="k2"))
    return agent_of().generation, broken()


def test_two_resumes_at_once_begin_one_generation(agent, apart):
    assert resumed_twice(agent) == (2, [])


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, NO_AGENT_LOCK], ids=["version", "lock"])
def test_mutant_without_a_guard_it_comes_alive_twice(agent, apart, guard):
    with rewritten(guard):
        _, found = resumed_twice(agent)
    assert any("it moved from ended when it was alive" in sentence for sentence in found), found


def dies_while_the_other_waits(session):
    """Let the first start lose its connection after it has made the agent, and before it has written its own row."""
    point = Point(RECORD)
    first = Actor(passing(point, session.start), key="k1")
    point.wait()
    second = Actor(session.start, "resume", key="k2")
    (holder,) = wait_until(blockers)
    with another_connection() as operator:
        operator.execute("SELECT pg_terminate_backend(%s, 5000)", [holder])
    heard = [second.answer()]
    point.release()
    return [*heard, first.answer()]


def blockers():
    with another_connection() as watcher:
        rows = [watcher.execute("SELECT unnest(pg_blocking_pids(%s))", [pid]).fetchall() for pid in waiting()]
    return {pid for found in rows for (pid,) in found}


def test_when_the_first_one_dies_half_way_the_second_makes_the_agent_and_the_first_comes_again(host, apart):
    heard = dies_while_the_other_waits(Session(host.token))
    assert [answer.outcome for answer in heard] == ["applied", "applied"]
    assert (Agent.objects.count(), AgentSession.objects.count()) == (1, 1)
    assert outcomes() == {"applied": 2}
    assert broken() == []
