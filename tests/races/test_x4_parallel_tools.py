"""X4: with parallel tools and subagents a question is known by its call's id: another call's end settles nothing."""

import pytest

from agents.judgement import Judgement
from tests.races.meeting import meet
from tests.races.mutants import NO_AGENT_LOCK, NO_VERSION_CHECK, replaced, rewritten, without
from tests.races.truths import agent_of, broken

ASKED_NO_MORE = ("agents_command", "moves_on_when_nobody_is_asked")
SUB = {"agent_id": "sub1", "agent_type": "general-purpose"}


def asked():
    """Return the calls about which a person is asked, and the state of the command."""
    agent = agent_of()
    return set(agent.waits.filter(closed_at=None).values_list("use_id", flat=True)), agent.state


def in_turn(agent_id, *acts):
    return [act() for act in acts]


def other_call_ends(session):
    return session.post("t1")


def other_call_of_the_same_kind_ends(session):
    return session.post("q0", "AskUserQuestion")


def call_of_a_subagent_ends(session):
    return session.post("s1", **SUB)


def subagent_stops(session):
    return session.tell("SubagentStop", **SUB)


def batch_of_others_ends(session):
    return session.tell("PostToolBatch", tool_calls=[{"tool_name": "Bash", "tool_use_id": "t1", "tool_input": {}}])


OTHERS = [
    other_call_ends,
    other_call_of_the_same_kind_ends,
    call_of_a_subagent_ends,
    subagent_stops,
    batch_of_others_ends,
]


@pytest.fixture
def busy(agent, apart):
    """An agent with a call, a question, and a subagent's call under way."""
    agent.pre("t1")
    agent.ask("q0")
    agent.pre("s1", **SUB)
    return agent


def named(act):
    return getattr(act, "__name__", None)


@pytest.mark.parametrize("together", [in_turn, meet])
@pytest.mark.parametrize("other", OTHERS, ids=named)
@pytest.mark.parametrize("first", [True, False], ids=["question first", "question last"])
def test_what_else_ends_leaves_the_question_open(busy, other, first, together):
    acts = [lambda: busy.ask("q1"), lambda: other(busy)]
    together(agent_of().pk, *(acts if first else reversed(acts)))
    open_ones, state = asked()
    assert "q1" in open_ones
    assert state == "awaiting_input"
    assert broken() == []


@pytest.mark.parametrize("together", [in_turn, meet])
@pytest.mark.parametrize("first", [True, False], ids=["permission first", "permission last"])
def test_a_permission_is_about_its_own_call(busy, first, together):
    busy.post("q0", "AskUserQuestion")
    busy.pre("t2")
    acts = [lambda: busy.permission("t2"), lambda: busy.post("t1")]
    together(agent_of().pk, *(acts if first else reversed(acts)))
    assert asked() == ({"t2"}, "awaiting_input")
    busy.post("t2")
    assert asked() == (set(), "processing")
    assert broken() == []


@pytest.mark.parametrize("order", [("q0", "q1"), ("q1", "q0")], ids=" then ".join)
def test_of_two_questions_that_are_answered_at_once_each_answer_settles_one(busy, order):
    busy.ask("q1")
    meet(agent_of().pk, *(lambda use_id=use_id: busy.post(use_id, "AskUserQuestion") for use_id in order))
    assert asked() == (set(), "processing")
    assert broken() == []


def test_a_question_that_is_told_twice_is_asked_once(busy):
    answers = meet(agent_of().pk, lambda: busy.ask("q1", key="k1"), lambda: busy.ask("q1", key="k2"))
    assert all(answer.is_good for answer in answers)
    assert asked() == ({"q0", "q1"}, "awaiting_input")
    assert broken() == []


def answered_during_the_next(session):
    """Let the end of one question be decided before the next one was asked, and be written after it."""
    meet(agent_of().pk, lambda: session.ask("q1"), lambda: session.post("q0", "AskUserQuestion"))
    return asked()


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, NO_AGENT_LOCK], ids=["version", "lock"])
def test_mutant_another_calls_end_that_was_decided_before_clears_the_question(busy, guard):
    with without(*ASKED_NO_MORE), rewritten(guard):
        assert answered_during_the_next(busy) == ({"q1"}, "processing")


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, NO_AGENT_LOCK], ids=["version", "lock"])
def test_the_trigger_alone_sends_the_calls_end_back_to_be_judged_again(busy, guard):
    with rewritten(guard):
        assert answered_during_the_next(busy) == ({"q1"}, "awaiting_input")


def test_mutant_matched_by_the_tools_name_the_wrong_question_is_settled(busy):
    def close_by_name(judgement, keys, closed_by, digest=""):
        names = {judgement.now.tools[key].name for key in keys if key in judgement.now.tools}
        judgement.close_waits(lambda wait: wait.tool_name in names, closed_by)

    busy.ask("q1")
    with replaced(Judgement, "close_tools", close_by_name):
        busy.post("q0", "AskUserQuestion")
    assert asked()[0] == set()
