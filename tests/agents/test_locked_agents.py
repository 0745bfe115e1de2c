"""An agent behind its lock, as the rest of the program is to take it: ``Agent.objects.locked``."""

import pytest
from django.db import transaction

from agents.models import Agent
from locks import LockNamespace, LockReentered, RowBusy, advisory_lock
from locks.monitor import snapshot
from tests.agents.rows import make_agent
from tests.locks.actors import PATIENCE, Actor, until_waiting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def actor():
    made = Actor()
    yield made
    made.close()


def test_a_locked_agent_is_seen_by_the_monitor_and_is_not_locked_twice():
    agent = make_agent()
    with transaction.atomic():
        assert Agent.objects.locked(agent.pk) == agent
        assert [(lock.seen.namespace, lock.seen.key) for lock in snapshot().locks] == [(LockNamespace.AGENT, agent.pk)]
        with pytest.raises(LockReentered), advisory_lock(LockNamespace.AGENT, agent.pk):
            pytest.fail("entered twice")


def test_a_locked_agent_is_as_it_was_committed_while_its_lock_was_waited_for(actor):
    agent = make_agent()
    with transaction.atomic(), advisory_lock(LockNamespace.AGENT, agent.pk):
        actor.enter(transaction.atomic())
        waiting = actor.start(Agent.objects.alive().locked, agent.pk)
        until_waiting(actor)
        Agent.objects.filter(pk=agent.pk).update(reason="written meanwhile")
    assert waiting.result(PATIENCE).reason == "written meanwhile"
    actor.leave()


def test_an_agent_whose_row_is_locked_is_busy_at_once(actor):
    agent = make_agent()
    actor.enter(transaction.atomic())
    assert actor.do(Agent.objects.locked_nowait, agent.pk) == agent
    with transaction.atomic():
        with pytest.raises(RowBusy):
            Agent.objects.locked_nowait(agent.pk)
        assert Agent.objects.get() == agent, "the transaction is not usable any more"
    actor.leave()
