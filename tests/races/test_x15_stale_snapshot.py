"""X15: a write that was committed while we waited is seen: lock and read are separate statements."""

from datetime import timedelta

import pytest

from locks import LockKey, LockNamespace
from tests.races.meeting import Actor, third
from tests.races.mutants import NO_VERSION_CHECK, READ_BEFORE_THE_LOCK, rewritten
from tests.races.truths import agent_of, broken, tools

HOLD = "UPDATE agents_agent SET mode = 'hold', version = version + 1 WHERE id = %s"
LOCK_AND_LOOK_IN_ONE = [
    (
        "agents_record",
        "waited_ms := locks_take(lock_id, lock_namespace, patience_ms, label);",
        "SELECT a.version INTO row_version FROM agents_agent a,"
        " LATERAL (SELECT locks_take(lock_id, lock_namespace, patience_ms, label) WHERE a.id > 0) AS locked"
        " WHERE a.id = the_agent;",
    ),
    (
        "agents_record",
        "SELECT version INTO row_version FROM agents_agent WHERE id = the_agent FOR NO KEY UPDATE SKIP LOCKED;",
        "",
    ),
]
"""The trap itself: one statement that waits for the lock and reads the row as it was before the wait."""


def held_meanwhile(session):
    """Let an operator put the agent on hold while a call of it waits for the lock; say whether the call is refused."""
    agent_id = agent_of().pk
    with third() as operator:
        operator.lock(LockKey(LockNamespace.AGENT, agent_id))
        call = Actor(session.pre, "t1")
        operator.wait_for_waiting(1)
        operator.do(HOLD, [agent_id])
        operator.step_aside()
        return call.answer().denies


@pytest.fixture
def patient(agent, apart, limits):
    limits(BUSY_AFTER=timedelta(seconds=60))
    return agent


def test_a_call_that_waited_is_refused_by_the_mode_that_was_set_meanwhile(patient):
    assert held_meanwhile(patient)
    assert broken() == [f"agent {agent_of().pk}: version 4 after 3 applied hooks"]  # the operator's is the fourth


@pytest.mark.parametrize(
    "guard",
    [NO_VERSION_CHECK, READ_BEFORE_THE_LOCK, LOCK_AND_LOOK_IN_ONE],
    ids=["no version check", "read before the lock", "lock and read in one statement"],
)
def test_mutant_a_decision_from_before_the_wait_lets_it_through(patient, guard):
    with rewritten(guard):
        assert not held_meanwhile(patient)


def behind_the_inbox(session, limits):
    """The same for a call that finds the inbox filled, and so takes the lock first and looks then."""
    agent_id = agent_of().pk
    with third() as busy:
        busy.lock(LockKey(LockNamespace.AGENT, agent_id))
        limits(BUSY_AFTER=timedelta(milliseconds=50))
        assert session.pre("t0").outcome == "pending"
        busy.step_aside()
    limits(BUSY_AFTER=timedelta(seconds=60))
    return held_meanwhile(session)


def test_a_call_that_takes_the_lock_first_looks_after_it(patient, limits):
    assert behind_the_inbox(patient, limits)
    assert tools(agent_of()) >= {"t0"}
