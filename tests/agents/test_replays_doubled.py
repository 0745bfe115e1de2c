"""A handler that is registered twice delivers every event twice at the same time: one is applied, one repeats it."""

import pytest

from agents.models import Agent, HookEvent
from tests.agents.expected_rows import END, assert_came_as_expected, assert_ended_as_expected
from tests.agents.payload_files import payload
from tests.agents.replay import rows_of, session, together

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 20
"""How often, each time on new connections: which of the web's processes accepts one is chance."""


@pytest.fixture(params=END)
def name(request):
    return request.param


def doubled(wires, body, vendor="claude-code", **headers):
    """Send one body over all connections at the same moment."""
    return together([lambda wire=wire: wire.post(body, vendor, **headers) for wire in wires])


def outcomes(answers):
    return sorted(answer.outcome for answer in answers)


@pytest.mark.parametrize("copies", [2, 3])
def test_each_event_delivered_several_times_leaves_the_same_rows(name, copies, door):
    told = session(name)
    with door.wires(copies) as wires:
        answers = [doubled(wires, body, told.vendor) for body in told.payloads]
    assert [outcomes(copy) for copy in answers] == [["applied", *["duplicate"] * (copies - 1)]] * len(answers)
    assert {(answer.status, answer.body) for copy in answers for answer in copy} == {(204, b"")}
    assert_ended_as_expected(name, rows_of(told))
    assert_came_as_expected(name, rows_of(told))
    assert [row.payload for row in HookEvent.objects.order_by("pk")] == told.payloads


def test_each_event_delivered_again_right_after_leaves_the_same_rows(name, door):
    told = session(name)
    with door.wire() as wire:
        answers = [wire.post(body, told.vendor).outcome for body in told.payloads for _ in range(2)]
    assert answers == ["applied", "duplicate"] * len(told.payloads)
    assert_ended_as_expected(name, rows_of(told))
    assert_came_as_expected(name, rows_of(told))


def test_a_whole_session_told_again_changes_nothing(name, door):
    told = session(name)
    with door.wires(2) as (first, second):
        told.tell(first)
        before = rows_of(told)
        again = told.tell(second)
    assert {answer.outcome for answer in again} == {"duplicate"}
    assert rows_of(told) == before


def test_a_first_hook_that_comes_twice_at_once_makes_one_agent(door):
    for _ in range(ROUNDS):
        told = session("headless-api-error")
        with door.wires(2) as wires:
            assert outcomes(doubled(wires, told.payloads[1])) == ["applied", "duplicate"]
        assert len(rows_of(told)) == 1
    assert Agent.objects.count() == HookEvent.objects.count() == ROUNDS


@pytest.mark.parametrize("vendor", ["claude-code", "codex"])
def test_the_duplicate_of_a_denied_call_gets_the_same_denial(vendor, door):
    file = "pre-tool-use.bash.json" if vendor == "claude-code" else "pre-tool-use.json"
    body = payload(vendor, file)
    with door.wires(2) as wires:
        wires[0].post({**body, "hook_event_name": "SessionStart"}, vendor)
        Agent.objects.update(mode="hold")
        for number in range(ROUNDS):
            answers = doubled(wires, body | {"tool_use_id": f"call_{number}"}, vendor)
            assert outcomes(answers) == ["applied", "duplicate"]
            first, second = (answer.document["hookSpecificOutput"] for answer in answers)
            assert first == second
            assert first["permissionDecision"] == "deny" and first["permissionDecisionReason"]
            assert [answer.status for answer in answers] == [200, 200]


def test_a_denial_stays_when_the_mode_has_changed_and_a_new_mode_forbids_the_duplicate_too(door):
    body = payload("claude-code", "pre-tool-use.write.json")
    with door.wire() as wire:
        wire.post({**body, "hook_event_name": "SessionStart"})
        Agent.objects.update(mode="read_only")
        denied = wire.post(body)
        Agent.objects.update(mode="run")
        again = wire.post(body)
        assert (again.outcome, again.document) == ("duplicate", denied.document)
        allowed = wire.post(body | {"tool_use_id": "call_2"})
        Agent.objects.update(mode="hold")
        repeated = wire.post(body | {"tool_use_id": "call_2"})
    assert (allowed.status, repeated.status, repeated.outcome) == (204, 200, "duplicate")
    assert repeated.document["hookSpecificOutput"]["permissionDecision"] == "deny"


def test_a_permission_request_that_was_denied_is_denied_again(door):
    body = payload("claude-code", "permission-request.write.json")
    with door.wires(2) as wires:
        wires[0].post({**body, "hook_event_name": "SessionStart"})
        Agent.objects.update(mode="hold")
        answers = doubled(wires, body)
    assert outcomes(answers) == ["applied", "duplicate"]
    decisions = [answer.document["hookSpecificOutput"]["decision"] for answer in answers]
    assert decisions[0] == decisions[1] and decisions[0]["behavior"] == "deny"


def test_a_clients_own_key_tells_a_repeat_and_swallows_no_other_event(door):
    body = payload("claude-code", "user-prompt-submit.json")
    with door.wires(2) as wires:
        answers = [
            wires[0].post(body, Idempotency_Key="key-1"),
            wires[1].post(body, Idempotency_Key="key-1"),
            wires[0].post(body, Idempotency_Key="key-2"),
            # A client that counts from one again.
            wires[1].post(body | {"prompt": "Another one."}, Idempotency_Key="key-1"),
        ]
    assert [answer.outcome for answer in answers] == ["applied", "duplicate", "applied", "applied"]


def test_a_clients_own_key_delivered_twice_at_once_is_applied_once(door):
    told = session("headless-tools-and-subagent")
    with door.wires(2) as wires:
        for number, body in enumerate(told.payloads):
            answers = doubled(wires, body, Idempotency_Key=f"{number}-key")
            assert outcomes(answers) == ["applied", "duplicate"]
    assert_ended_as_expected("headless-tools-and-subagent", rows_of(told))


def test_the_same_key_of_another_host_is_another_event(door, other_door):
    body = payload("claude-code", "user-prompt-submit.json")
    with door.wire() as ours, other_door.wire() as theirs:
        answers = [wire.post(body, Idempotency_Key="key") for wire in (ours, theirs)]
        contents = [wire.post(body | {"session_id": "s2"}) for wire in (ours, theirs)]
    assert {answer.outcome for answer in (*answers, *contents)} == {"applied"}
    assert Agent.objects.count() == 4


def test_an_unknown_event_of_no_agent_that_comes_twice_is_journaled_once(door):
    body = payload("claude-code", "stop.json") | {"hook_event_name": "BrandNew"}
    for number in range(ROUNDS):
        with door.wires(2) as wires:
            answers = doubled(wires, body | {"session_id": f"s{number}"})
        assert outcomes(answers) == ["duplicate", "unsupported"]
    assert HookEvent.objects.count() == ROUNDS
