"""What an operator's mode lets through."""

import pytest

from agents.decisions import PROCEED, Deny
from agents.events import Tool, ToolRequested
from agents.gate import gate
from agents.states import CommandState, Mode
from tests.agents.play import (
    batch,
    denied,
    end,
    kind,
    mode_play,
    notice,
    origin,
    permission,
    post,
    pre,
    prompt,
    question,
    start,
    stop,
    text,
)

PROCESSING = CommandState.PROCESSING


# Modes


CALLS = [pre("a"), permission("a")]


@pytest.mark.parametrize("call", CALLS, ids=kind)
@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.STOPPED])
def test_held_and_stopped_agents_call_nothing(mode, call):
    decision = mode_play(mode, start(), prompt(), call).decisions[-1]
    assert isinstance(decision, Deny) and decision.reason


@pytest.mark.parametrize("writes", [True, False])
def test_a_read_only_agent_calls_what_only_reads(writes):
    call = ToolRequested(origin(), tool=Tool("Any", use_id="a", digest="d", writes=writes))
    assert isinstance(mode_play(Mode.READ_ONLY, start(), prompt(), call).decisions[-1], Deny) is writes


@pytest.mark.parametrize("call", CALLS, ids=kind)
@pytest.mark.parametrize("mode", [Mode.RUN, Mode.DRAIN])
def test_a_free_agent_is_not_judged(mode, call):
    assert mode_play(mode, start(), prompt(), call).decisions[-1] == PROCEED


@pytest.mark.parametrize("mode", Mode)
def test_only_a_call_is_decided_on(mode):
    for told in (start(), prompt(), post("a"), batch("a"), denied("a"), notice(), text(), stop(), end()):
        assert gate(mode, told) == PROCEED


def test_a_call_of_an_ended_agent_is_still_judged():
    assert isinstance(mode_play(Mode.HOLD, start(), end(), pre("a")).decisions[-1], Deny)


def test_a_permission_that_was_refused_asks_nobody():
    told = mode_play(Mode.STOPPED, start(), prompt(), permission("a"))
    assert (told.state, told.open_waits) == (PROCESSING, [])


def test_a_question_that_was_refused_asks_nobody():
    told = mode_play(Mode.HOLD, start(), prompt(), question("q"), permission("q"))
    assert (told.state, told.open_waits) == (PROCESSING, [])
