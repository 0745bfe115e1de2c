"""A hook that finds its agent busy is stored, answered 202, and applied in order by who locks the agent next."""

import json
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from agents.cycles import drainer
from agents.models import Agent, HookEvent, Host
from locks import LockNamespace, advisory_lock
from tests.agents.expected_rows import assert_came_as_expected, assert_ended_as_expected
from tests.agents.payload_files import payload
from tests.agents.replay import rows_of, session, together
from tests.agents.web import serving

pytestmark = pytest.mark.django_db(transaction=True)

CALL = payload("claude-code", "pre-tool-use.write.json")
READ = CALL | {"tool_name": "Read", "tool_input": {"file_path": "/etc/hosts"}, "tool_use_id": "call_read"}
STORED = (202, "pending", b"")


@pytest.fixture(scope="module")
def impatient_web(django_db_setup, tmp_path_factory):
    """A web that asks for a lock for a moment only: what is busy here stays busy."""
    with serving(tmp_path_factory.mktemp("impatient"), HEADSPACE_BUSY_AFTER="0.05") as found:
        yield found


@pytest.fixture
def wire(transactional_db, impatient_web):
    with impatient_web.door() as door, door.wire() as found:
        yield found


@contextmanager
def busy(agent):
    """Hold the agent's lock, as a cycle or another hook would."""
    with transaction.atomic(), advisory_lock(LockNamespace.AGENT, agent.pk):
        yield


@contextmanager
def busy_session(session_id):
    """Hold the lock of a session's name, as its first hook would."""
    name = f"{Host.objects.get().pk}:claude-code:{session_id}"
    with transaction.atomic(), advisory_lock(LockNamespace.SESSION, name):
        yield


def drain():
    """Run ``manage.py drain`` and return its report."""
    said = StringIO()
    call_command("drain", "--json", stdout=said)
    return json.loads(said.getvalue())


def shape(answer):
    return (answer.status, answer.outcome, answer.body)


def outcomes():
    return list(HookEvent.objects.order_by("pk").values_list("outcome", flat=True))


def begun(wire, mode="run"):
    """Return a new agent in a mode."""
    wire.post({**CALL, "hook_event_name": "SessionStart"})
    Agent.objects.update(mode=mode)
    return Agent.objects.get()


# -- stored -------------------------------------------------------------------


def test_a_hook_of_a_busy_agent_is_stored_and_answered_202(wire):
    agent = begun(wire)
    with busy(agent):
        answer = wire.post(CALL)
    assert shape(answer) == STORED
    row = HookEvent.objects.latest("pk")
    assert (row.outcome, row.applied_at, row.agent, row.payload) == ("pending", None, agent, CALL)
    agent.refresh_from_db()
    assert (agent.state, agent.commands.count()) == ("idle", 0)


def test_a_busy_agent_holds_up_no_other(wire):
    agent = begun(wire)
    with busy(agent):
        assert wire.post(CALL | {"session_id": "other"}).outcome == "applied"


def test_a_hook_that_is_delivered_twice_to_a_busy_agent_is_stored_once(wire):
    agent = begun(wire)
    with busy(agent):
        answers = [wire.post(CALL), wire.post(CALL)]
    assert [answer.outcome for answer in answers] == ["pending", "duplicate"]
    assert drain()["done"] == {"drained": 1}
    assert wire.post(CALL).outcome == "duplicate"
    assert outcomes() == ["applied", "applied"]


def test_hooks_that_come_several_times_at_once_to_a_busy_agent_are_stored_once(transactional_db, impatient_web):
    with impatient_web.door() as door, door.wires(4) as wires:
        agent = begun(wires[0])
        with busy(agent):
            for number in range(10):
                body, key = CALL | {"tool_use_id": f"call_{number}"}, f"key-{number}"
                calls = [lambda wire=wire, body=body, key=key: wire.post(body, Idempotency_Key=key) for wire in wires]
                assert sorted(answer.outcome for answer in together(calls)) == [*["duplicate"] * 3, "pending"]
    drain()
    assert outcomes() == ["applied"] * 11


# -- applied ------------------------------------------------------------------


@pytest.mark.parametrize("held", [range(1, 5), range(2, 9), range(9, 17), range(12, 22)], ids=str)
def test_the_next_hook_applies_what_waits_first_and_in_order(held, wire):
    name = "interactive-permission-esc-compact-clear"
    told = session(name, process="4711 1234 boot/1")
    told.tell(wire, range(held.start))
    here = [place for place in held if told.payloads[place]["session_id"] == told.payloads[0]["session_id"]]
    with busy(Agent.objects.get()):
        assert {shape(answer) for answer in told.tell(wire, here)} == {STORED}
    told.tell(wire, range(here[-1] + 1, len(told.payloads)))
    drain()
    assert_ended_as_expected(name, rows_of(told))
    assert_came_as_expected(name, rows_of(told))
    assert set(outcomes()) == {"applied"}


def test_a_session_whose_predecessors_end_waits_is_an_agent_that_says_so(wire):
    told = session("interactive-permission-esc-compact-clear")
    told.tell(wire, range(16))
    with busy(Agent.objects.get()):
        assert told.tell(wire, [16])[0].outcome == "pending"
    told.tell(wire, range(17, 22))
    drain()
    first, second = rows_of(told)
    assert (first["presence"], first["sessions"][0][1], len(first["commands"])) == ("alive", "clear", 2)
    assert (second["presence"], second["sessions"][0][1], len(second["commands"])) == ("ended", "prompt_input_exit", 1)
    assert first["ambiguous"] is None and "not known" in second["ambiguous"]


@pytest.mark.parametrize("name", ["headless-api-error", "headless-tools-and-subagent"])
def test_a_session_that_was_all_stored_is_applied_by_the_drain(name, wire):
    told = session(name)
    told.tell(wire, [0])
    with busy(Agent.objects.get()):
        assert {shape(answer) for answer in told.tell(wire, range(1, len(told.payloads)))} == {STORED}
        assert (drain()["skipped"], drain()["judged"]) == (1, 0)
    assert drain() | {"began_at": ""} == {
        "cycle": "drain",
        "began_at": "",
        "judged": 1,
        "skipped": 0,
        "failed": 0,
        "done": {"drained": 1},
    }
    assert_ended_as_expected(name, rows_of(told))
    assert_came_as_expected(name, rows_of(told))
    assert drain()["judged"] == 0


def test_what_waits_is_applied_in_the_clients_order_where_it_counts(wire):
    told = session("headless-tools-and-subagent")
    told.tell(wire, [0])
    places = list(range(1, len(told.payloads)))
    with busy(Agent.objects.get()):
        for place in reversed(places):
            answer = wire.post(told.payloads[place], X_Headspace_Sequence=str(place))
            assert answer.outcome == "pending"
    drain()
    assert_came_as_expected("headless-tools-and-subagent", rows_of(told))


def test_the_first_hook_of_a_session_whose_name_is_locked_waits_without_an_agent(wire):
    with busy_session(CALL["session_id"]):
        assert shape(wire.post({**CALL, "hook_event_name": "SessionStart"})) == STORED
        assert shape(wire.post({**CALL, "hook_event_name": "UserPromptSubmit"})) == STORED
    assert list(HookEvent.objects.values_list("agent", flat=True)) == [None, None]
    assert drain()["done"] == {"drained": 1}
    agent = Agent.objects.get()
    assert (agent.state, agent.ambiguous, set(HookEvent.objects.values_list("agent", flat=True))) == (
        "commanded",
        None,
        {agent.pk},
    )


def test_the_next_hook_of_the_session_adopts_what_waits_without_an_agent(wire):
    with busy_session(CALL["session_id"]):
        wire.post({**CALL, "hook_event_name": "SessionStart"})
    assert wire.post({**CALL, "hook_event_name": "UserPromptSubmit"}).outcome == "applied"
    assert Agent.objects.get().ambiguous is None
    assert outcomes() == ["applied", "applied"]


def test_what_waited_for_an_agent_that_ended_meanwhile_is_late(wire):
    agent = begun(wire)
    with busy(agent):
        wire.post({**CALL, "hook_event_name": "SessionEnd", "reason": "other"})
        wire.post(CALL)
    drain()
    agent.refresh_from_db()
    assert (agent.presence, agent.state, outcomes()) == ("ended", "idle", ["applied", "applied", "late"])


def test_an_unknown_event_of_a_busy_agent_is_stored_and_then_unsupported(wire):
    agent = begun(wire)
    with busy(agent):
        assert shape(wire.post(CALL | {"hook_event_name": "BrandNew"})) == STORED
    drain()
    assert outcomes() == ["applied", "unsupported"]


def test_an_inbox_that_cannot_be_read_does_not_stop_the_others(wire):
    host = begun(wire).host
    for agent_id in (None, begun(wire).pk):
        # What was written by a program with one vendor more than this one.
        HookEvent.objects.create(
            host=host, agent_id=agent_id, vendor="gone", session_id="s9", name="Stop", key=f"client:{agent_id}",
            received_at=timezone.now(), outcome="pending", payload={"session_id": "s9"},
        )  # fmt: skip
    other = session("headless-api-error")
    other.tell(wire, [0])
    with busy(Agent.objects.get(session_id=other.payloads[0]["session_id"])):
        other.tell(wire, range(1, 5))
    report = drainer.run_once(timezone.now())
    assert (report.failed, report.done) == (0, {"drained": 2})
    assert outcomes()[1:3] == ["refused", "refused"]
    assert_ended_as_expected("headless-api-error", rows_of(other))


# -- gates --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "body", "refused"),
    [
        ("run", CALL, False),
        ("read_only", READ, False),
        ("read_only", CALL, True),
        ("hold", READ, True),
        ("hold", CALL, True),
        ("stopped", CALL, True),
    ],
)
def test_a_call_is_refused_by_the_mode_even_when_the_agent_is_busy(mode, body, refused, wire):
    agent = begun(wire, mode)
    with busy(agent):
        answer = wire.post(body)
    assert answer.outcome == "pending"
    assert answer.status == (200 if refused else 202)
    if refused:
        assert answer.document["hookSpecificOutput"]["permissionDecision"] == "deny"
    else:
        assert answer.body == b""


def test_a_held_agents_permission_is_refused_even_when_it_is_busy(wire):
    agent = begun(wire, "hold")
    with busy(agent):
        answer = wire.post(payload("claude-code", "permission-request.write.json") | {"session_id": CALL["session_id"]})
    assert (answer.status, answer.outcome) == (200, "pending")
    assert answer.document["hookSpecificOutput"]["decision"]["behavior"] == "deny"


def test_a_call_that_was_refused_while_busy_stays_refused_for_its_duplicates(wire):
    agent = begun(wire, "hold")
    with busy(agent):
        denied = wire.post(CALL)
        again = wire.post(CALL)
    Agent.objects.update(mode="run")
    after = wire.post(CALL)
    drain()
    later = wire.post(CALL)
    assert [answer.outcome for answer in (again, after, later)] == ["duplicate"] * 3
    assert again.document == after.document == later.document == denied.document


def test_the_drain_applies_a_hook_as_of_when_it_came(wire):
    agent = begun(wire)
    with busy(agent):
        wire.post(CALL)
    received_at = HookEvent.objects.latest("pk").received_at
    drainer.run_once(timezone.now() + timedelta(hours=1))
    agent.refresh_from_db()
    assert agent.last_seen_at == received_at
