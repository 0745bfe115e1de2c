"""What a hook is answered, at which address, and what is kept of what its client told beside the payload."""

import json
import socket

import pytest
from django.db import transaction

from agents.adapters.claude_code import ROUTES
from agents.models import Agent, HookEvent
from locks import LockNamespace, advisory_lock
from tests.agents.payload_files import files, payload
from tests.agents.replay import session

pytestmark = pytest.mark.django_db(transaction=True)

CALL = payload("claude-code", "pre-tool-use.write.json")
SESSION = CALL["session_id"]
MOMENTS = sorted(file for file in files("claude-code") if not file.startswith("sessions/"))
GATES = {"PreToolUse", "PermissionRequest"}
NAMED_ROUTES = {
    "session-start",
    "session-end",
    "user-prompt-submit",
    "stop",
    "notification",
    "pre-tool-use",
    "post-tool-use",
    "permission-request",
}


def in_session(file, vendor="claude-code", **changes):
    return payload(vendor, file, **{"session_id": SESSION, **changes})


def json_of(body):
    return json.dumps(body).encode()


def begun(wire, mode="run", session_id=SESSION):
    """Return a new agent in a mode."""
    wire.post({**CALL, "hook_event_name": "SessionStart", "session_id": session_id})
    Agent.objects.filter(session_id=session_id).update(mode=mode)
    return Agent.objects.get(session_id=session_id)


# -- addresses ----------------------------------------------------------------


def test_the_eight_named_routes_are_there_and_no_other():
    assert set(ROUTES) == NAMED_ROUTES


@pytest.mark.parametrize("word", sorted(NAMED_ROUTES))
def test_an_address_names_the_moment_whatever_the_payload_says(word, door):
    moment = "".join(part.title() for part in word.split("-"))
    with door.wire() as wire:
        begun(wire)
        bare = {key: value for key, value in CALL.items() if key != "hook_event_name"}
        for body in (
            bare,
            bare | {"hook_event_name": "Setup", "cwd": "/a"},
            bare | {"hook_event_name": 7, "cwd": "/b"},
        ):
            answer = wire.ask("POST", f"/hook/{word}", json_of(body))
            assert (answer.status, answer.outcome in ("applied", "late")) == (204, True)
    names = HookEvent.objects.order_by("pk").values_list("name", flat=True)
    assert list(names)[1:] == [moment] * 3


def test_equal_bodies_at_two_addresses_are_two_moments(door):
    bare = json_of({"session_id": SESSION, "tool_name": "Bash", "tool_input": {}, "tool_use_id": "call_1"})
    with door.wire() as wire:
        asked = [wire.ask("POST", f"/hook/{word}", bare) for word in ("pre-tool-use", "post-tool-use", "stop", "stop")]
    assert [answer.outcome for answer in asked] == ["applied", "applied", "applied", "duplicate"]


def test_one_moment_at_its_own_address_and_at_the_universal_one_is_a_duplicate(door):
    with door.wire() as wire:
        assert wire.post(CALL).outcome == "applied"
        body = json.dumps(CALL, separators=(",", ":")).encode()
        assert wire.ask("POST", "/hook/pre-tool-use", body).outcome == "duplicate"


def test_a_session_told_at_the_named_addresses_is_one_told_at_the_universal_one(door):
    told = session("headless-api-error")
    with door.wire() as wire:
        for body in told.payloads:
            name = next((word for word, moment in ROUTES.items() if moment == body["hook_event_name"]), "")
            wire.ask("POST", f"/hook/{name}" if name else "/hooks/claude-code", json_of(body))
    agent = Agent.objects.get()
    assert (agent.presence, agent.commands.get().outcome) == ("ended", "failed")


def test_the_same_session_id_on_two_hosts_is_two_agents(door, other_door):
    with door.wire() as ours, other_door.wire() as theirs:
        for wire in (ours, theirs):
            assert wire.post(CALL).outcome == "applied"
    assert set(Agent.objects.values_list("host__name", flat=True)) == {"one", "two"}


def test_the_same_session_id_of_two_vendors_is_two_agents(door):
    with door.wire() as wire:
        for vendor in ("claude-code", "codex"):
            assert wire.post(CALL, vendor).outcome == "applied"
    assert set(Agent.objects.values_list("vendor", flat=True)) == {"claude-code", "codex"}


# -- answers ------------------------------------------------------------------


def test_no_opinion_is_no_body(door):
    with door.wire() as wire:
        for file in MOMENTS:
            begun(wire, session_id=file)
            answer = wire.post(payload("claude-code", file, session_id=file))
            assert (file, answer.status, answer.body, answer.outcome) == (file, 204, b"", "applied")


def test_a_held_agent_is_denied_at_its_gates_and_told_nothing_elsewhere(door):
    with door.wire() as wire:
        for file in MOMENTS:
            body = payload("claude-code", file, session_id=file)
            begun(wire, "hold", session_id=file)
            answer = wire.post(body)
            assert (file, answer.outcome) == (file, "applied")
            if body["hook_event_name"] in GATES:
                assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
                assert answer.document["hookSpecificOutput"]["hookEventName"] == body["hook_event_name"]
            else:
                assert (file, answer.status, answer.body) == (file, 204, b"")


@pytest.mark.parametrize(
    ("file", "refused"),
    [
        ("pre-tool-use.bash.json", True),
        ("pre-tool-use.edit.json", True),
        ("pre-tool-use.write.json", True),
        ("written/pre-tool-use.mcp.json", True),
        ("permission-request.bash.json", True),
        ("pre-tool-use.read.json", False),
        ("pre-tool-use.agent.json", False),
        ("pre-tool-use.askuserquestion.json", False),
    ],
)
def test_a_read_only_agent_is_denied_what_writes(file, refused, door):
    with door.wire() as wire:
        begun(wire, "read_only")
        answer = wire.post(in_session(file))
    assert answer.status == (200 if refused else 204)


def test_a_denial_says_what_each_vendor_understands(door):
    with door.wire() as wire:
        begun(wire, "hold")
        call = wire.post(CALL).document["hookSpecificOutput"]
        asked = wire.post(in_session("permission-request.write.json")).document["hookSpecificOutput"]
        wire.post(payload("codex", "session-start.json"), "codex")
        Agent.objects.update(mode="hold")
        codex = wire.post(payload("codex", "pre-tool-use.json"), "codex").document["hookSpecificOutput"]
    assert call["permissionDecision"] == codex["permissionDecision"] == "deny"
    assert call["permissionDecisionReason"] and codex["permissionDecisionReason"]
    assert asked["decision"]["behavior"] == "deny" and asked["decision"]["message"]


@pytest.mark.parametrize("mode", ["run", "hold"])
def test_an_answer_is_neither_page_nor_cookie_nor_redirect(mode, door):
    with door.wire() as wire:
        begun(wire, mode)
        answers = [wire.post(in_session(file)) for file in MOMENTS]
    for answer in answers:
        assert answer.status in (200, 204)
        assert "html" not in answer.headers.get("Content-Type", "")
        assert not {"Set-Cookie", "Location"} & set(answer.headers)


def test_a_denial_is_one_packet(door):
    with door.wire() as wire:
        begun(wire, "hold")
    body = json_of(CALL)
    head = f"POST /hooks/claude-code HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {door.token}\r\n"
    with socket.create_connection(("127.0.0.1", door.port), 30) as raw:
        for _ in range(20):
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert raw.recv(65536).endswith(b"}")


# -- outcomes -----------------------------------------------------------------


def test_an_unknown_moment_is_journaled_and_changes_nothing(door):
    with door.wire() as wire:
        agent = begun(wire)
        answer = wire.post(in_session("stop.json", hook_event_name="BrandNew"))
    assert (answer.status, answer.outcome, answer.body) == (204, "unsupported", b"")
    row = HookEvent.objects.latest("pk")
    assert (row.name, row.outcome, row.agent) == ("BrandNew", "unsupported", agent)
    agent.refresh_from_db()
    assert (agent.state, agent.presence, agent.commands.count(), agent.changes.count()) == ("idle", "alive", 0, 0)


def test_an_unknown_moment_makes_no_agent(door):
    with door.wire() as wire:
        answer = wire.post(in_session("stop.json", hook_event_name="BrandNew"))
    assert (answer.status, answer.outcome) == (204, "unsupported")
    assert not Agent.objects.exists()
    assert HookEvent.objects.get().agent is None


def test_what_comes_after_the_end_is_late_and_brings_nothing_back(door):
    with door.wire() as wire:
        agent = begun(wire)
        wire.post(in_session("user-prompt-submit.json"))
        wire.post(in_session("session-end.json", reason="other"))
        ended = standing(agent)
        for file in MOMENTS:
            answer = wire.post(in_session(file, cwd="/late", prompt_id="late"))
            assert (file, answer.status, answer.outcome) == (file, 204, "late")
            assert HookEvent.objects.latest("pk").outcome == "late"
            assert standing(agent) == ended


def standing(agent):
    agent.refresh_from_db()
    session_ended_at = agent.sessions.get().ended_at
    assert session_ended_at
    command = agent.commands.get()
    return agent.presence, agent.ended_at, agent.reason, agent.generation, agent.cwd, session_ended_at, command.outcome


def test_a_session_that_is_resumed_begins_a_new_generation(door):
    with door.wire() as wire:
        agent = begun(wire)
        wire.post(in_session("session-end.json", reason="other"))
        answer = wire.post(in_session("session-start.json", source="resume"))
    agent.refresh_from_db()
    assert (answer.outcome, agent.presence, agent.generation, agent.ended_at) == ("applied", "alive", 2, None)


# -- told beside the payload --------------------------------------------------


def test_the_clients_process_and_pane_are_kept(door):
    with door.wire() as wire:
        wire.post(
            in_session("session-start.json"),
            X_Headspace_Process="4711 123456 boot-id/4026531836",
            X_Headspace_Ancestors="4711,4000,1",
            X_Headspace_Pane="/tmp/tmux-0/default %3",
        )
    agent = Agent.objects.get()
    assert (agent.pid, agent.process_started, agent.process_place, agent.pane) == (
        4711,
        "123456",
        "boot-id/4026531836",
        "/tmp/tmux-0/default %3",
    )


def test_the_clients_count_and_time_are_journaled(door):
    with door.wire() as wire:
        headers = {"X_Headspace_Sequence": "41", "X_Headspace_Occurred_At": "2026-11-21T20:00:00.25+02:00"}
        assert wire.post(CALL, **headers).outcome == "applied"
    row = HookEvent.objects.get()
    assert (row.sequence, row.occurred_at.isoformat()) == (41, "2026-11-21T18:00:00.250000+00:00")


# -- status -------------------------------------------------------------------


def test_the_status_tells_a_host_of_itself_and_waits_for_no_lock(door):
    with door.wire() as wire:
        before = wire.ask("GET", "/hook/status")
        agent = begun(wire)
        with transaction.atomic(), advisory_lock(LockNamespace.AGENT, agent.pk):
            wire.post(CALL)
            after = wire.ask("GET", "/hook/status")
    assert (before.status, before.document["host"], before.document["pending"]) == (200, "one", 0)
    assert before.document["last_received_at"] is None
    assert (after.status, after.document["pending"]) == (200, 1)
    assert after.document["last_received_at"] and after.document["vendors"] == ["claude-code", "codex"]


def test_the_status_is_nobodys_business_but_a_hosts(door):
    with door.wire() as wire:
        assert wire.ask("GET", "/hook/status", Authorization=None).status == 401
        assert wire.ask("GET", "/hook/status", Authorization="Bearer wrong").status == 401
