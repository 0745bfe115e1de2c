"""M5: a notification never overrides a later stop, whatever the order of arrival, nor speaks of another command."""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from agents.judgement import Judgement
from tests.races.meeting import meet
from tests.races.mutants import NO_AGENT_LOCK, NO_VERSION_CHECK, replaced, rewritten, without
from tests.races.truths import agent_of, broken, ends

TERMINAL = ("agents_command", "complete_is_terminal")
KINDS = ["permission_prompt", "idle_prompt", "elicitation_dialog", "agent_needs_input"]
DONE = [("p1", "complete", "completed")]


def stop(session, kind):
    return session.stop()


def notice(session, kind):
    return session.notice(kind)


def in_turn(agent_id, first, second):
    return [first(), second()]


def what_broke(session, kind, order, together):
    """Let a stop and a notification come while a call is under way; return what is wrong then."""
    session.pre("t1")
    first, second = order
    heard = together(agent_of().pk, lambda: first(session, kind), lambda: second(session, kind))
    agent = agent_of()
    found = [f"{answer.status} answered" for answer in heard if not answer.is_good] + broken()
    found += [f"a {wait.asking} is open" for wait in agent.waits.filter(closed_at=None)]
    found += [agent.ambiguous] if agent.ambiguous else []
    return found if ends(agent) == DONE else [*found, f"the commands ended as {ends(agent)}"]


@pytest.mark.parametrize("together", [in_turn, meet])
@pytest.mark.parametrize("order", [(stop, notice), (notice, stop)], ids=["stop first", "notification first"])
@pytest.mark.parametrize("kind", KINDS)
def test_after_both_the_command_is_complete_and_nobody_is_asked(agent, apart, kind, order, together):
    assert what_broke(agent, kind, order, together) == []


MUTANTS = [
    (NO_VERSION_CHECK, [TERMINAL], "the commands ended as [('p1', 'awaiting_input', '')]"),
    (NO_AGENT_LOCK, [TERMINAL], "a permission is open"),
]


@pytest.mark.parametrize(("guard", "constraints", "seen"), MUTANTS)
def test_mutant_a_notification_that_was_decided_before_the_stop_overrides_it(agent, apart, guard, constraints, seen):
    with ExitStack() as off:
        for constraint in constraints:
            off.enter_context(without(*constraint))
        off.enter_context(rewritten(guard))
        found = what_broke(agent, "permission_prompt", (stop, notice), meet)
    assert seen in found, found


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, NO_AGENT_LOCK], ids=["version", "lock"])
def test_the_trigger_alone_sends_the_notification_back_to_be_judged_again(agent, apart, guard):
    with rewritten(guard):
        assert what_broke(agent, "permission_prompt", (stop, notice), meet) == []


def late_notice(session, kind):
    """Let a notification of the first command come when the second one is at work; return what is asked then."""
    session.notice(kind)
    return list(agent_of().waits.filter(closed_at=None).values_list("asking", flat=True))


@pytest.fixture
def second_command(agent):
    agent.stop()
    later = replace(agent, prompt_id="p2")
    later.prompt("Next.")
    later.pre("t2")


@pytest.mark.parametrize("kind", KINDS)
def test_a_notification_of_the_command_before_asks_nothing_of_the_next_one(agent, second_command, kind):
    assert late_notice(agent, kind) == []
    assert ends(agent_of()) == [*DONE, ("p2", "processing", "")]
    assert agent_of().ambiguous is None


@pytest.mark.parametrize("kind", ["permission_prompt", "elicitation_dialog"])
def test_mutant_taken_for_the_next_ones_it_asks(agent, second_command, kind):
    with replaced(Judgement, "is_current", lambda judgement: True):
        assert len(late_notice(agent, kind)) == 1
