"""X21: one event that is delivered twice around the end of a time slot is applied once, whatever way each copy took."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from agents import stored, views
from agents.cycles import drainer
from agents.deliveries import neighbouring_keys
from locks import LockKey, LockNamespace
from tests.races.meeting import Actor, third
from tests.races.mutants import BLIND_LOOK, replaced, rewritten
from tests.races.truths import agent_of, said

SOON, LONG = timedelta(milliseconds=50), timedelta(seconds=5)
SLOT = 5
"""Seconds: within this time equal bytes are one event."""


@pytest.fixture
def arriving(monkeypatch):
    """Let a hook arrive at a moment of one's choice, in its own thread."""
    mine, real = threading.local(), timezone.now
    monkeypatch.setattr(views.timezone, "now", lambda: getattr(mine, "moment", None) or real())

    def arriving(moment, act, *args):
        def arrive():
            mine.moment = moment
            return act(*args)

        return arrive

    return arriving


def around_the_end():
    """Return the moments just before and just after the end of a slot."""
    end = datetime.fromtimestamp((timezone.now().timestamp() // SLOT + 1) * SLOT, tz=UTC)
    return end - timedelta(milliseconds=1), end + timedelta(milliseconds=1)


def stored_beside_its_twin(agent, limits, arriving, moments):
    """One copy stands in its record while the other finds the agent busy and is stored; say how often it was said."""
    with third() as busy:
        busy.hold_row("agents_command", agent_of().open_command.pk)
        limits(BUSY_AFTER=LONG)
        writing = Actor(arriving(moments[0], agent.prompt, "again"))
        busy.wait_for_waiting(1)
        limits(BUSY_AFTER=SOON)
        assert Actor(arriving(moments[1], agent.prompt, "again")).answer().outcome == "pending"
        busy.step_aside()
        assert writing.answer().outcome == "applied"
    return times_said(limits)


def times_said(limits):
    limits(BUSY_AFTER=LONG)
    drainer.run_once(timezone.now())
    return [text for _, _, text in said(agent_of())].count("again")


@pytest.mark.parametrize("moments", [around_the_end(), around_the_end()[::-1]], ids=["in order", "the later first"])
def test_a_copy_that_was_stored_knows_the_one_that_was_written(agent, apart, limits, arriving, moments):
    assert stored_beside_its_twin(agent, limits, arriving, moments) == 1


def test_mutant_that_knows_the_slot_before_alone_applies_it_twice(agent, apart, limits, arriving):
    with replaced(stored, "neighbouring_keys", lambda key: neighbouring_keys(key)[:1]):
        assert stored_beside_its_twin(agent, limits, arriving, around_the_end()[::-1]) == 2


@pytest.mark.parametrize("moments", [around_the_end(), around_the_end()[::-1]], ids=["in order", "the later first"])
def test_of_two_copies_that_were_stored_one_is_applied(agent, apart, limits, arriving, moments):
    limits(BUSY_AFTER=SOON)
    with third() as busy, rewritten(BLIND_LOOK):  # as if both had looked before either was stored
        busy.lock(LockKey(LockNamespace.AGENT, agent_of().pk))
        for moment in moments:
            assert Actor(arriving(moment, agent.prompt, "again")).answer().outcome == "pending"
    assert times_said(limits) == 1


def test_mutant_in_which_one_that_waits_counts_as_applied_loses_both(agent, apart, limits, arriving):
    everything = [("agents_record", "e.outcome NOT IN ('pending', 'duplicate')", "true")]
    with rewritten(everything):
        limits(BUSY_AFTER=SOON)
        with third() as busy, rewritten(BLIND_LOOK):
            busy.lock(LockKey(LockNamespace.AGENT, agent_of().pk))
            for moment in around_the_end():
                Actor(arriving(moment, agent.prompt, "again")).answer()
        assert times_said(limits) == 0
