"""M8, in every order: two first hooks of a session, each cut between the statements with which it makes the agent."""

from contextlib import ExitStack
from datetime import timedelta
from itertools import count

import pytest

from agents.models import AgentSession
from locks.testing import Scene
from tests.races.exploring import COMMIT, LOCK, RECORD, explored, found_wrong, whole
from tests.races.hooks import Session
from tests.races.mutants import NO_NAME_LOCK, rewritten, without
from tests.races.truths import outcomes, tools

NAMING = 'INSERT INTO "agents_agentsession"'
ONE_AGENT = ("agents_agentsession", "session_has_one_agent")


@pytest.fixture
def scene(host, apart, limits):
    """Return a scene: two calls, neither of which has found an agent, are the first of a session; and its check."""
    limits(BUSY_AFTER=timedelta(seconds=60))
    session, numbers = None, count()

    def make():
        nonlocal session
        session = Session(host.token, session=f"first{next(numbers)}")
        return Scene({"t0": lambda: session.pre("t0"), "t1": lambda: session.pre("t1")}, (LOCK, NAMING, RECORD, COMMIT))

    def check(outcome):
        made = AgentSession.objects.filter(session_id=session.session)
        assert made.count() == 1, f"{made.count()} agents were made"
        whole(session, outcome)
        assert outcomes(session.session) == {"applied": 2}
        assert tools(made.get().agent) == {"t0", "t1"}

    return make, check


def test_one_agent_is_made_and_both_calls_are_known_in_every_order(scene):
    assert explored(*scene).met


@pytest.mark.parametrize(("constraints", "said"), [([], "500"), ([ONE_AGENT], "2 agents were made")])
def test_mutant_without_the_lock_on_the_name_there_is_an_order_with_an_error_or_two_agents(scene, constraints, said):
    with ExitStack() as off:
        for constraint in constraints:
            off.enter_context(without(*constraint))
        off.enter_context(rewritten(NO_NAME_LOCK))
        with found_wrong(said):
            explored(*scene)
