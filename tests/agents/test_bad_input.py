"""A hook that cannot be taken is refused clearly, journaled where there is a host to blame, and harms nobody else."""

import json
import socket
import struct

import pytest

from agents.hosts import revoke_token, rotate_token
from agents.models import Agent, HookEvent
from tests.agents.payload_files import payload
from tests.agents.replay import eventually

pytestmark = pytest.mark.django_db(transaction=True)

CALL = payload("claude-code", "pre-tool-use.write.json")
LIMIT = 16 * 1024 * 1024
BODIES = {
    "nothing": b"",
    "blanks": b"  \n",
    "words": b"hello",
    "a form": b"session_id=s1&hook_event_name=Stop",
    "cut short": b'{"session_id": "s1", "hook_event_n',
    "two objects": b"{}{}",
    "a list": b'[{"session_id": "s1"}]',
    "a text": b'"s1"',
    "a number": b"7",
    "null": b"null",
    "not a number": b'{"session_id": "s1", "a": NaN}',
    "endless": b'{"session_id": "s1", "a": 1e999}',
    "a raw NUL": b'{"session_id": "s\x001"}',
    "5 000 digits": b'{"session_id": "s1", "a": %s}' % (b"9" * 5000),
    "invalid UTF-8": b'{"session_id": "\xff\xfe"}',
    "a raw surrogate": b'{"session_id": "\xed\xa0\x80"}',
    "UTF-16": json.dumps(CALL).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(CALL).encode(),
    "101 levels": b'{"session_id": "s1", "a": %s%s}' % (b"[" * 100, b"]" * 100),
    "100 000 levels": b'{"session_id": "s1", "a": %s%s}' % (b"[" * 100_000, b"]" * 100_000),
    "levels without an end": b'{"a":' * 1_000_000,
}


def refused(answer, status, code):
    """Hold an answer against what a refusal looks like."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.outcome is None and not {"Set-Cookie", "Location"} & set(answer.headers)
    problem = answer.document
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] and problem["title"] and problem["detail"] and problem["correlation_id"]
    assert not any(word in problem["detail"] for word in ("Traceback", "SELECT", "/srv", "hs_", "django"))
    return problem


def journaled(host, code, size):
    """Hold the journal's last row against what is kept of a refused hook."""
    row = HookEvent.objects.latest("pk")
    assert (row.host, row.agent, row.outcome, row.payload["code"], row.size) == (host, None, "refused", code, size)
    assert row.applied_at
    return row


# -- bodies -------------------------------------------------------------------


def test_what_is_no_json_object_is_refused_and_the_connection_stays_usable(door, host):
    with door.wire() as wire:
        for name, body in BODIES.items():
            refused(wire.post(body), 400, "not_json")
            row = journaled(host, "not_json", len(body))
            assert (name, row.truncated) == (name, len(body) > 1000)
            assert len(json.dumps(row.payload)) < 12_000
            assert wire.post(CALL | {"session_id": name}).outcome == "applied"
    assert HookEvent.objects.filter(outcome="refused").count() == len(BODIES)
    assert Agent.objects.count() == len(BODIES)


@pytest.mark.parametrize("where", ["hooks/claude-code", "hooks/codex", "hook/stop", "hook/pre-tool-use"])
@pytest.mark.parametrize("session_id", [None, "", 7, True, ["s1"], {"id": "s1"}, "s" * 201])
def test_a_hook_without_a_session_is_refused(where, session_id, door, host):
    for body in (CALL | {"session_id": session_id}, {key: CALL[key] for key in CALL if key != "session_id"}):
        raw = json.dumps(body).encode()
        with door.wire() as wire:
            problem = refused(wire.ask("POST", f"/{where}", raw), 400, "anomalous_payload")
        assert "session_id" in problem["detail"]
        journaled(host, "anomalous_payload", len(raw))
    assert not Agent.objects.exists()


@pytest.mark.parametrize("name", [None, "", 7, [], {}])
def test_a_hook_that_does_not_name_its_moment_is_refused(name, door, host):
    with door.wire() as wire:
        refused(wire.post(CALL | {"hook_event_name": name}), 400, "anomalous_payload")
    assert not Agent.objects.exists()


def test_nul_and_lone_surrogates_are_replaced(door):
    odd = "a\x00b\ud800c\udfffd\U0001f600"
    body = CALL | {
        "session_id": f"s{odd}",
        "prompt_id": odd,
        "tool_use_id": odd,
        "cwd": f"/{odd}",
        odd: [odd, {odd: odd}],
    }
    with door.wire() as wire:
        assert wire.post(body).outcome == "applied"
        assert wire.post(body | {"hook_event_name": "UserPromptSubmit", "prompt": odd}).outcome == "applied"
        assert wire.post(body | {"hook_event_name": odd}).outcome == "unsupported"
    clean = "a\ufffdb\ufffdc\ufffdd\U0001f600"
    agent = Agent.objects.get()
    assert (agent.session_id, agent.cwd) == (f"s{clean}", f"/{clean}")
    assert HookEvent.objects.earliest("pk").payload[clean] == [clean, {clean: clean}]
    assert set(agent.turns.values_list("text", flat=True)) == {clean}


def test_many_keys_and_huge_numbers_are_taken(door):
    many = {f"key {number}": number for number in range(10_000)}
    numbers = {"big": 10**4000, "small": -(10**4000), "float": 1.7e308, "tiny": 5e-324, "zero": 1e-999}
    with door.wire() as wire:
        assert wire.post(CALL | many | {"tool_input": numbers}).outcome == "applied"
        assert wire.post(CALL | {"duration_ms": 10**4000, "hook_event_name": "PostToolUse"}).outcome == "applied"
    kept = HookEvent.objects.earliest("pk").payload
    assert kept["key 9999"] == 9999 and kept["tool_input"]["big"] == 10**4000


def test_a_hundred_levels_are_taken(door):
    deep = json.loads("[" * 98 + "]" * 98)
    with door.wire() as wire:
        assert wire.post(CALL | {"tool_input": deep}).outcome == "applied"


# -- sizes --------------------------------------------------------------------


def padded(size):
    """Return a hook's body of exactly so many bytes."""
    body = json.dumps(CALL | {"padding": ""}, separators=(",", ":")).encode()
    return body[:-2] + b"x" * (size - len(body)) + b'"}'


def test_16_mib_are_taken_and_stored_cut(door):
    body = padded(LIMIT)
    with door.wire() as wire:
        assert wire.post(body).outcome == "applied"
        assert wire.post(body).outcome == "duplicate"
    row = HookEvent.objects.get()
    assert (len(body), row.size, row.truncated) == (LIMIT, LIMIT, True)
    assert len(row.payload["padding"]) == 20_000


@pytest.mark.parametrize("size", [LIMIT + 1, 2 * LIMIT, 4 * LIMIT])
def test_a_byte_more_is_refused_and_the_client_reads_why(size, door, host):
    body = padded(size)
    with door.wire() as wire:
        refused(wire.post(body), 413, "payload_too_large")
        journaled(host, "payload_too_large", size)
        assert wire.post(CALL).outcome == "applied"


def test_too_much_of_a_stranger_is_unauthorized_and_the_client_reads_it(door):
    body = padded(LIMIT + 1)
    with door.wire() as wire:
        refused(wire.post(body, Authorization="Bearer wrong"), 401, "unknown_host")
        refused(wire.post(body, Authorization=None), 401, "unknown_host")
        assert wire.post(CALL).outcome == "applied"
    assert HookEvent.objects.count() == 1


def test_an_edit_of_a_large_file_is_stored_cut_with_a_mark_and_its_length(door):
    body = payload("claude-code", "post-tool-use.edit.json")
    text = "a line of a large file\n" * 90_000
    body["tool_response"] |= {"originalFile": text, "structuredPatch": [{"lines": [text, "+b"]}]}
    raw = json.dumps(body).encode()
    assert len(raw) > 4_000_000
    with door.wire() as wire:
        assert wire.post(raw).outcome == "applied"
    row = HookEvent.objects.get()
    assert (row.size, row.truncated) == (len(raw), True)
    kept = row.payload["tool_response"]
    cut = kept["originalFile"]
    assert cut == kept["structuredPatch"][0]["lines"][0] and kept["structuredPatch"][0]["lines"][1] == "+b"
    assert len(cut) == 20_000 and cut.startswith(text[:19_000]) and str(len(text)) in cut[-60:]
    assert {**row.payload, "tool_response": None} == {**body, "tool_response": None}


def test_a_long_prompt_is_kept_cut_in_every_row(door):
    prompt = "word " * 1_000_000
    with door.wire() as wire:
        body = payload("claude-code", "user-prompt-submit.json", prompt=prompt)
        assert wire.post(body).outcome == "applied"
    agent = Agent.objects.get()
    texts = [agent.turns.get().text, agent.commands.get().prompt, HookEvent.objects.get().payload["prompt"]]
    assert {len(text) for text in texts} == {20_000} and all("5000000" in text[-60:] for text in texts)


def test_a_client_that_asks_first_whether_to_send_may_go_on(door):
    body = padded(5 * 1024 * 1024)
    head = f"POST /hooks/claude-code HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {door.token}\r\n"
    with socket.create_connection(("127.0.0.1", door.port), 30) as raw:
        raw.sendall(f"{head}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 100")
        raw.sendall(body)
        assert raw.recv(65536).startswith(b"HTTP/1.1 204")


def test_a_client_that_hangs_up_in_the_middle_is_no_error_of_ours(door, host):
    head = f"POST /hooks/claude-code HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {door.token}\r\n"
    raw = socket.create_connection(("127.0.0.1", door.port), 30)
    raw.sendall(f"{head}Content-Length: 500000\r\n\r\n".encode() + b"{")
    # Without a linger, closing resets the connection.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    eventually(lambda: HookEvent.objects.filter(outcome="refused", payload__code="not_json").exists())


def test_a_body_that_ends_too_early_is_refused(door, host):
    head = f"POST /hooks/claude-code HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {door.token}\r\n"
    with socket.create_connection(("127.0.0.1", door.port), 30) as raw:
        raw.sendall(f"{head}Content-Length: 5000\r\n\r\n".encode() + json.dumps(CALL).encode()[:200])
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(65536).startswith(b"HTTP/1.1 400")
    assert not Agent.objects.exists()


# -- tokens -------------------------------------------------------------------

TOKENS = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    "Basic aHM6aHM=",
    "hs_nothing",
    "Bearer \xff\xfe",
    "Bearer hs_" + "x" * 8000,
]


@pytest.mark.parametrize("sent", TOKENS, ids=lambda sent: ascii(sent)[:20])
def test_a_stranger_is_told_nothing_but_that(sent, door):
    bodies = [json.dumps(CALL).encode(), b"not json", b"", b"{}"]
    with door.wire() as wire:
        for path in ("/hooks/claude-code", "/hooks/nobody", "/hook/stop", "/hook/status"):
            answers = [wire.ask("POST", path, body, Authorization=sent) for body in bodies]
            problems = [refused(answer, 401, "unknown_host") for answer in answers]
            assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Bearer"}
            assert len({problem["detail"] for problem in problems}) == 1
    assert not HookEvent.objects.exists() and not Agent.objects.exists()


def test_a_revoked_token_is_refused_at_once_on_every_connection(door, host):
    with door.wires(4) as wires:
        for wire in wires:
            assert wire.post(CALL).outcome in ("applied", "duplicate")
        revoke_token(host)
        for wire in wires:
            refused(wire.post(CALL | {"cwd": "/after"}), 401, "unknown_host")
            refused(wire.post(b"not json"), 401, "unknown_host")
            assert wire.ask("GET", "/hook/status").status == 401
    assert HookEvent.objects.count() == 1


def test_a_rotated_token_is_refused_and_the_new_one_is_taken(door, host):
    with door.wires(2) as wires:
        wires[0].post(CALL)
        token = rotate_token(host)
        for number, wire in enumerate(wires):
            refused(wire.post(CALL | {"cwd": f"/{number}"}), 401, "unknown_host")
            assert wire.post(CALL | {"cwd": f"/{number}"}, Authorization=f"Bearer {token}").outcome == "applied"
    assert Agent.objects.count() == 1
