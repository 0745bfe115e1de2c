"""A recorded session that comes over HTTP ends in the right rows."""

from datetime import timedelta

import pytest

from agents.models import Agent, HookEvent
from tests.agents.expected_rows import END, assert_came_as_expected, assert_ended_as_expected
from tests.agents.replay import rows_of, session

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=END)
def name(request):
    return request.param


def test_a_session_ends_in_the_right_rows(name, door):
    told = session(name)
    with door.wire() as wire:
        told.tell(wire)
    agents = rows_of(told)
    assert_ended_as_expected(name, agents)
    assert_came_as_expected(name, agents)


def test_a_session_whose_starts_tell_its_process_ends_the_same(name, door):
    told = session(name, process="4711 1234 boot/1")
    with door.wire() as wire:
        told.tell(wire)
    assert_ended_as_expected(name, rows_of(told))
    assert_came_as_expected(name, rows_of(told))
    agent = Agent.objects.get()
    assert (agent.pid, agent.process_started, agent.process_place) == (4711, "1234", "boot/1")


def test_every_hook_of_a_session_is_applied_and_answered_with_nothing(name, door):
    told = session(name)
    with door.wire() as wire:
        answers = told.tell(wire)
    assert {(answer.status, answer.outcome, answer.body) for answer in answers} == {(204, "applied", b"")}


def test_every_hook_of_a_session_is_journaled_in_order_as_it_came(name, door, host):
    told = session(name)
    with door.wire() as wire:
        told.tell(wire)
    journal = list(HookEvent.objects.order_by("pk"))
    assert [row.payload for row in journal] == told.payloads
    assert [row.name for row in journal] == [one["hook_event_name"] for one in told.payloads]
    assert {(row.host, row.vendor, row.outcome, row.truncated) for row in journal} == {
        (host, told.vendor, "applied", False)
    }
    assert all(row.agent_id and row.size and row.received_at <= row.applied_at for row in journal)


def test_every_change_names_the_hook_that_it_came_from(name, door):
    told = session(name)
    with door.wire() as wire:
        told.tell(wire)
    agent = Agent.objects.get()
    changes = agent.changes.select_related("event").order_by("pk")
    moments = [change.event.name for change in changes]
    assert moments[0] == "UserPromptSubmit" and moments[-1] == "SessionEnd"
    assert all(change.changed_at - change.event.received_at < timedelta(seconds=30) for change in changes)
    assert [change.version for change in changes] == sorted(change.version for change in changes)
    assert agent.version == len(told.payloads)


def test_two_sessions_told_in_turns_know_nothing_of_each_other(door):
    one, other = session("headless-tools-and-subagent"), session("interactive-permission-esc-compact-clear")
    with door.wires(2) as (first, second):
        for place in range(max(len(one.payloads), len(other.payloads))):
            one.tell(first, range(place, min(place + 1, len(one.payloads))))
            other.tell(second, range(place, min(place + 1, len(other.payloads))))
    assert_ended_as_expected("headless-tools-and-subagent", rows_of(one))
    assert_ended_as_expected("interactive-permission-esc-compact-clear", rows_of(other))


def test_the_same_session_twice_leaves_two_agents(name, door):
    first, second = session(name), session(name)
    with door.wire() as wire:
        first.tell(wire)
        second.tell(wire)
    assert rows_of(first) == rows_of(second)
    assert Agent.objects.count() == 2


def test_a_session_shows_where_its_agent_is_at_every_step(door):
    told = session("interactive-permission-esc-compact-clear")
    seen = []
    with door.wire() as wire:
        for place in range(len(told.payloads)):
            told.tell(wire, [place])
            agent = Agent.objects.get()
            seen.append((agent.state, agent.waits.filter(closed_at=None).count(), agent.presence))
    assert seen == [
        ("idle", 0, "alive"),  # SessionStart
        ("commanded", 0, "alive"),  # UserPromptSubmit
        ("processing", 0, "alive"),  # PreToolUse
        ("awaiting_input", 1, "alive"),  # PermissionRequest
        ("awaiting_input", 1, "alive"),  # Notification: says what is known
        ("processing", 0, "alive"),  # PostToolUse
        ("processing", 0, "alive"),  # PostToolBatch
        ("processing", 0, "alive"),  # MessageDisplay
        ("idle", 0, "alive"),  # Stop
        ("commanded", 0, "alive"),  # UserPromptSubmit
        ("processing", 0, "alive"),  # PreToolUse
        ("awaiting_input", 1, "alive"),  # PermissionRequest, then Esc: no hook
        ("idle", 0, "alive"),  # PreCompact by hand: nothing runs any more
        ("idle", 0, "alive"),  # SubagentStop of the compaction
        ("idle", 0, "alive"),  # SessionStart (compact)
        ("idle", 0, "alive"),  # PostCompact
        ("idle", 0, "alive"),  # SessionEnd (clear)
        ("idle", 0, "alive"),  # SessionStart (clear): another session
        ("commanded", 0, "alive"),  # UserPromptSubmit
        ("processing", 0, "alive"),  # MessageDisplay
        ("idle", 0, "alive"),  # Stop
        ("idle", 0, "ended"),  # SessionEnd
    ]
