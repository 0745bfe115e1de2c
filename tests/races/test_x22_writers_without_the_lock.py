"""X22: an operator's statement takes no advisory lock; a hook sees what it committed, and waits for it no longer."""

from datetime import timedelta

import pytest

from agents.models import HookEvent
from tests.races.meeting import Actor, third, waiting
from tests.races.mutants import NO_ROW_LOCK, rewritten
from tests.races.truths import agent_of


def call_while_a_hold_is_committed(agent):
    """Call a tool between the operator's UPDATE and its COMMIT."""
    with third() as operator:
        operator.do("UPDATE agents_agent SET mode = 'hold' WHERE id = %s", [agent_of().pk])
        call = Actor(agent.pre, "t1")
        operator.wait_for_waiting(1)
        assert set(waiting().values()) == {"transactionid"}
        operator.step_aside()
        return call.answer()


def test_a_hold_that_is_committed_before_the_hook_is_obeyed(agent, apart):
    answer = call_while_a_hold_is_committed(agent)
    assert answer.denies
    assert answer.outcome == "applied"


def test_mutant_that_does_not_lock_the_row_lets_the_call_pass(agent, apart):
    with rewritten(NO_ROW_LOCK):
        assert not call_while_a_hold_is_committed(agent).denies


def test_a_hook_waits_for_a_row_as_long_as_for_a_lock(agent, apart, limits):
    limits(BUSY_AFTER=timedelta(seconds=0.2))
    with third() as operator:
        operator.do("UPDATE agents_agent SET reason = 'x' WHERE id = %s", [agent_of().pk])
        assert agent.pre("t1").outcome == "pending"
    assert agent.post("t1").outcome == "applied"
    assert not HookEvent.objects.filter(outcome="pending").exists()


def test_mutant_that_does_not_lock_the_row_waits_for_as_long_as_its_holder_likes(agent, apart, limits):
    limits(BUSY_AFTER=timedelta(seconds=0.2))
    with rewritten(NO_ROW_LOCK), third() as operator:
        operator.do("UPDATE agents_agent SET reason = 'x' WHERE id = %s", [agent_of().pk])
        call = Actor(agent.pre, "t1")
        operator.wait_for_waiting(1)
        with pytest.raises(AssertionError):
            call.answer(1)
        operator.step_aside()
        call.answer()
