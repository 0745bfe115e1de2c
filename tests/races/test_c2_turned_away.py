"""C2: a hook that is stored instead of waiting does not overtake those that came before it, nor stay behind."""

from datetime import timedelta

from django.utils import timezone

from agents import intake
from agents.cycles import drainer
from locks import LockKey, LockNamespace
from tests.races.hooks import Session
from tests.races.meeting import Actor, Point, answers, passing, third, wait_until
from tests.races.mutants import replaced, rewritten
from tests.races.truths import agent_of, said

SOON, LONG = timedelta(milliseconds=50), timedelta(seconds=5)
FULL = 4
"""How many hooks of one agent wait in a process before the next one is turned away."""


def stop_behind_a_full_lane(agent):
    """Send a stop while one call is at the lock and as many as may wait behind it; return what the agent doubts."""
    with third() as busy:
        busy.lock(LockKey(LockNamespace.AGENT, agent_of().pk))
        calls = [Actor(agent.pre, "t0")]
        busy.wait_for_waiting(1)
        for number in range(1, FULL + 1):
            calls.append(Actor(agent.pre, f"t{number}"))
            wait_until(lambda number=number: in_the_lane() == number)
        assert agent.stop().outcome == "pending"
        busy.step_aside()
        assert {answer.outcome for answer in answers(calls)} == {"applied"}
    drainer.run_once(timezone.now())
    return agent_of().ambiguous


def in_the_lane():
    lanes = intake._lanes()
    return sum(lanes.waiting(key) for key in list(lanes._waiting))


def test_who_is_turned_away_comes_after_those_who_wait(agent, limits):
    limits(BUSY_AFTER=LONG)
    assert stop_behind_a_full_lane(agent) is None


def test_mutant_that_drains_everything_at_once_lets_it_overtake(agent, limits):
    limits(BUSY_AFTER=LONG)
    with replaced(intake.inbox, "waiting", in_order_of_storing):
        assert "taken for over" in stop_behind_a_full_lane(agent)


def in_order_of_storing(agent_id, until=None):
    return intake.inbox.HookEvent.objects.filter(agent=agent_id, outcome="pending").order_by("pk")


def prompt_stored_while_adopted(host, limits):
    """Store a prompt without an agent in the moment in which its session gets one; then call a tool and stop."""
    session = Session(host.token)
    adopted = Point('SELECT "agents_hookevent"."outcome"')  # what waited was applied; the commit comes next
    limits(BUSY_AFTER=LONG)
    first = Actor(passing(adopted, session.start))
    adopted.wait()
    limits(BUSY_AFTER=SOON)
    assert Actor(session.prompt).answer().outcome == "pending"
    limits(BUSY_AFTER=LONG)
    adopted.release()
    assert first.answer().outcome == "applied"
    session.pre("t1")
    session.stop()
    drainer.run_once(timezone.now())
    return [text for _, _, text in said(agent_of())]


def test_a_hook_that_was_stored_without_an_agent_comes_before_those_after_it(host, apart, limits):
    assert prompt_stored_while_adopted(host, limits) == ["Do it.", "Done."]


def test_mutant_that_looks_for_hooks_of_agents_alone_leaves_it_behind(host, apart, limits):
    with rewritten([("agents_waiting", "AND agent_id IS NULL AND outcome = 'pending'", "AND false")]):
        assert prompt_stored_while_adopted(host, limits) != ["Do it.", "Done."]
