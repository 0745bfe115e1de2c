"""X12: fifty hooks on one hot agent cost the others nothing: their hooks are answered, and pages are read.

Nothing is timed. The hot agent's lock is held from the first of the fifty to the last answer of the others, and a hook
has the patience to wait longer than that: whoever waited behind the hot ones would not be answered here.
"""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents.cycles import drainer
from locks import LockKey, LockNamespace
from tests.races.hooks import Session
from tests.races.meeting import Actor, answers, third, wait_until, waiting
from tests.races.truths import agent_of, broken, ends, outcomes, tools, waiting_hooks
from tests.races.web import Web

THREADS, FIFTY = 8, 50
LET_NEAR = 5
"""How many hooks of one agent a process lets wait: one for the lock, four for their turn. The others are stored."""


@pytest.fixture
def serve(host):
    made = []

    def make(**environment):
        web = Web(THREADS, "tests.races.stepped:application", HEADSPACE_BUSY_AFTER="60", **environment)
        made.append(web)
        web.wait_until_ready()
        return web

    yield make
    for web in made:
        web.stop()


@pytest.fixture
def operator(host):
    """Return the headers of somebody who has logged in."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}


def make_hot(host, web):
    """Return the hot session, whose agent the process knows, and the key of its lock."""
    hot = Session(host.token, "hot", send=web.post)
    hot.start()
    hot.prompt()
    return hot, LockKey(LockNamespace.AGENT, agent_of("hot").pk)


def live(session):
    """Let a session go from its start to its stop, and return what it heard."""
    hooks = [session.start, session.prompt, lambda: session.pre("t1"), lambda: session.post("t1"), session.stop]
    return [hook().outcome for hook in hooks]


def read_pages(web, host, operator):
    """Return the answers to who only reads, the hot agent's page among them."""
    hot = agent_of("hot").pk
    pages = ["/", f"/agents/{hot}/", f"/api/agents/{hot}", "/api/agents", "/locks/", "/api/advisory-locks"]
    found = {page: web.get(page, operator).status for page in pages}
    return found | {"/hook/status": web.get("/hook/status", {"Authorization": f"Bearer {host.token}"}).status}


def test_others_are_answered_while_fifty_hooks_of_one_agent_wait(host, serve, operator):
    web = serve()
    hot, key = make_hot(host, web)
    with third() as busy:
        busy.lock(key)
        fifty = [Actor(hot.pre, f"t{number}") for number in range(FIFTY)]
        wait_until(lambda: waiting_hooks() == FIFTY - LET_NEAR)
        busy.wait_for_waiting(1)

        others = [Actor(live, Session(host.token, f"s{number}", send=web.post)) for number in range(6)]
        assert [other.answer() for other in others] == [["applied"] * 5] * 6
        assert set(read_pages(web, host, operator).values()) == {200}

        assert sum(not actor.is_done for actor in fifty) == LET_NEAR
        busy.step_aside()
        assert {answer.status for answer in answers(fifty)} == {202, 204}
    drainer.run_once(timezone.now())
    assert_all_were_applied_once()
    assert [ends(agent_of(f"s{number}")) for number in range(6)] == [[("p1", "complete", "completed")]] * 6


def assert_all_were_applied_once():
    agent = agent_of("hot")
    assert not waiting_hooks()
    assert tools(agent) == {f"t{number}" for number in range(FIFTY)}
    assert outcomes("hot") == {"applied": FIFTY + 2}
    assert agent.version == FIFTY + 2
    assert broken() == []


def test_mutant_without_lanes_the_hot_ones_take_every_thread(host, serve):
    web = serve(RACES_MUTANT="no_lanes")
    hot, key = make_hot(host, web)
    with third() as busy:
        busy.lock(key)
        fifty = [Actor(hot.pre, f"t{number}") for number in range(FIFTY)]
        busy.wait_for_waiting(THREADS)
        other = Actor(Session(host.token, "other", send=web.post).start)
        other.join(2)
        starved = not other.is_done and len(waiting()) == THREADS
        busy.step_aside()
        assert {answer.status for answer in answers([*fifty, other])} == {204}
    assert starved
