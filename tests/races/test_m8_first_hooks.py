"""M8: fifty first hooks of a session at once make one agent, and nobody gets an error."""

from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.utils import timezone

from agents.cycles import drainer
from agents.models import Agent, AgentSession, HookEvent
from locks import LockKey, LockNamespace
from tests.races.hooks import Session
from tests.races.meeting import Actor, answers, gather, third, wait_until
from tests.races.mutants import NO_NAME_LOCK, rewritten, without
from tests.races.truths import agent_of, broken, outcomes, tools, waiting_hooks

FIFTY = 50
NAMING = 'INSERT INTO "agents_agentsession"'
ONE_AGENT = ("agents_agentsession", "session_has_one_agent")


def first_hooks(session, count):
    """Return so many different hooks, each of which may be the first that is heard of the session."""
    return [lambda number=number: session.pre(f"t{number}") for number in range(count)]


def at_once(session, count, limits):
    """Send them as if each came to a web process of its own; return what is wrong then."""
    limits(BUSY_AFTER=timedelta(seconds=60))
    heard = gather(NAMING, first_hooks(session, count))
    found = {f"{answer.status} answered" for answer in heard if not answer.is_good} | set(broken())
    counts = (Agent.objects.count(), AgentSession.objects.count(), HookEvent.objects.count())
    return found if counts == (1, 1, count) else {*found, f"{counts[0]} agents, {counts[1]} sessions, {counts[2]} rows"}


def test_fifty_processes_make_one_agent(host, apart, limits):
    assert at_once(Session(host.token), FIFTY, limits) == set()
    assert outcomes() == {"applied": FIFTY}
    assert len(tools(agent_of())) == FIFTY


@pytest.mark.parametrize(
    ("constraints", "seen"), [([], "500 answered"), ([ONE_AGENT], "50 agents, 50 sessions, 50 rows")]
)
def test_mutant_without_the_lock_on_the_name_there_are_errors_or_agents(host, apart, limits, constraints, seen):
    with ExitStack() as off:
        for constraint in constraints:
            off.enter_context(without(*constraint))
        off.enter_context(rewritten(NO_NAME_LOCK))
        found = at_once(Session(host.token), FIFTY, limits)
    assert seen in found, found


def test_in_two_web_processes_the_few_wait_and_the_many_are_stored(host, webs):
    """Each process lets five of them near the name's lock; the others are in the inbox before anybody has an agent."""
    sessions = [Session(host.token, send=web.post) for web in webs]
    hooks = [sessions[number % 2].pre for number in range(FIFTY)]
    with third() as busy:
        busy.lock(LockKey(LockNamespace.SESSION, f"{host.pk}:claude-code:s1"))
        actors = [Actor(hook, f"t{number}") for number, hook in enumerate(hooks)]
        wait_until(lambda: waiting_hooks() >= FIFTY - 10)
        busy.step_aside()
        assert {answer.status for answer in answers(actors)} <= {202, 204}
    drainer.run_once(timezone.now())
    assert not waiting_hooks()
    assert (Agent.objects.count(), AgentSession.objects.count()) == (1, 1)
    assert outcomes() == {"applied": FIFTY}
    assert len(tools(agent_of())) == FIFTY
    assert broken() == []
