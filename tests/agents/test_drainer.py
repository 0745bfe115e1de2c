"""A pass of the drainer goes on until nothing waits, or nothing moves."""

import pytest
from django.db import transaction
from django.utils import timezone

from agents import inbox
from agents.cycles import drainer
from agents.models import HookEvent
from locks import LockNamespace, advisory_lock
from tests.agents.payload_files import payload
from tests.agents.rows import make_agent, make_event
from tests.locks.actors import Actor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def five_that_wait(monkeypatch):
    """Return an agent whose inbox needs three turns."""
    monkeypatch.setattr(inbox, "AT_MOST", 2)
    agent = make_agent()
    for number in range(5):
        body = payload("claude-code", "pre-tool-use.bash.json") | {"tool_use_id": f"toolu_{number}"}
        make_event(agent, name="PreToolUse", outcome="pending", payload=body | {"session_id": agent.session_id})
    return agent


def test_one_pass_takes_as_many_turns_as_the_inbox_needs(five_that_wait):
    report = drainer.run_once(timezone.now())
    assert not HookEvent.objects.filter(outcome="pending").exists()
    assert report.done == {"drained": 3}


def test_a_pass_ends_where_the_agent_stays_busy(five_that_wait):
    somebody = Actor()
    somebody.enter(transaction.atomic())
    somebody.enter(advisory_lock(LockNamespace.AGENT, five_that_wait.pk))
    report = drainer.run_once(timezone.now())
    assert (report.judged, report.skipped) == (0, 1)
    somebody.close()
