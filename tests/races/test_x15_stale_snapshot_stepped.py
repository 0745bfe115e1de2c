"""X15, in every order: who comes after a commit under the lock has seen it, however long it waited for that."""

from datetime import timedelta

import pytest
from django.db import transaction

from agents.models import Agent, HookEvent
from locks import LockNamespace, advisory_lock
from locks.testing import Scene
from tests.races.exploring import COMMIT, HOOK, LOCK, agent_of_session, explored, found_wrong, fresh
from tests.races.hooks import Session
from tests.races.mutants import NO_VERSION_CHECK, READ_BEFORE_THE_LOCK, rewritten
from tests.races.test_x15_stale_snapshot import LOCK_AND_LOOK_IN_ONE

STOPS = (*HOOK, LOCK, 'UPDATE "agents_agent"', COMMIT)


@pytest.fixture
def scene(host, apart, limits):
    """Return a maker of scenes: an operator puts the agent on hold, while a call of it is on its way."""
    limits(BUSY_AFTER=timedelta(seconds=60))

    def of(**how):
        session = None

        def put_on_hold(agent_id):
            """Return whether the call was there already."""
            with transaction.atomic(), advisory_lock(LockNamespace.AGENT, agent_id):
                Agent.objects.filter(pk=agent_id).update(mode="hold")
                return HookEvent.objects.filter(agent=agent_id, name="PreToolUse").exists()

        def make():
            nonlocal session
            session = fresh(Session(host.token), **how)
            agent_id = agent_of_session(session).pk
            return Scene({"call": lambda: session.pre("t1"), "operator": lambda: put_on_hold(agent_id)}, STOPS)

        def check(outcome):
            came_first = outcome.results["operator"]
            assert outcome.results["call"].denies is not came_first, f"judged as if it came first: {not came_first}"

        return make, check

    return of


@pytest.mark.parametrize("remembered", [False, True], ids=["looking", "remembering"])
def test_a_call_is_refused_unless_it_came_before_the_operator(scene, remembered):
    assert explored(*scene(remembered=remembered)).met


GUARDS = {
    "no version check": NO_VERSION_CHECK,
    "read before the lock": READ_BEFORE_THE_LOCK,
    "lock and read in one": LOCK_AND_LOOK_IN_ONE,
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_mutant_in_some_order_a_decision_from_before_the_wait_lets_it_through(scene, guard):
    with rewritten(guard), found_wrong("judged as if it came first: True"):
        explored(*scene())
