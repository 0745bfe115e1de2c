"""X21: a call whose end overtakes its beginning is over all the same, and one of which a half is lost is flagged."""

import pytest

from agents.judgement import Judgement
from tests.races.mutants import replaced
from tests.races.truths import agent_of


def call_told_backwards(agent):
    """Return what the agent shows after a call whose end came first: calls under way, and its doubts."""
    agent.post("t1")
    agent.pre("t1")
    return agent_of().working.get("tools", []), agent_of().ambiguous


def test_a_call_whose_end_came_first_is_over(agent):
    assert call_told_backwards(agent) == ([], None)


def test_mutant_that_forgets_what_is_over_waits_for_its_end_for_ever(agent):
    with replaced(Judgement, "remember", lambda judgement, *keys: None):
        tools, doubts = call_told_backwards(agent)
    assert tools and doubts


LOSSES = {
    "the beginning of a call": lambda agent: agent.post("t1"),
    "the call that a permission is asked for": lambda agent: agent.permission("t1"),
    "the prompt": lambda agent: agent.pre("t1", prompt_id="p2"),
}


@pytest.fixture(params=LOSSES.values(), ids=LOSSES)
def loss(request):
    return request.param


def test_what_is_lost_is_flagged(agent, loss):
    loss(agent)
    assert agent_of().ambiguous


def test_mutant_without_flags_shows_the_agent_as_if_nothing_was_lost(agent, loss):
    with replaced(Judgement, "gap", lambda judgement, key, text: None):
        loss(agent)
    assert agent_of().ambiguous is None
