"""Wrong addresses, methods and headers: a clear status in JSON, never a page, a redirect or a cookie."""

import http.client
import json
import socket

import pytest

from agents.hosts import add_host
from agents.models import Agent, HookEvent
from tests.agents.payload_files import payload
from tests.agents.replay import Answer, Door
from tests.agents.test_bad_input import journaled, refused

pytestmark = pytest.mark.django_db(transaction=True)

CALL = payload("claude-code", "pre-tool-use.write.json")
RAW = json.dumps(CALL).encode()
VENDORS = ["nobody", "CLAUDE-CODE", "claude-code%20", "claude%00code", "%ff%fe", "%F0%9F%98%80", "..", "v" * 4000]
CODES = {400: "bad_request", 414: "uri_too_long", 431: "headers_too_large"}
METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PROPFIND"]


def assert_no_page(answer):
    """Hold an answer against what no answer to a hook may be."""
    assert answer.status < 500 and not 300 <= answer.status < 400
    assert "html" not in answer.headers.get("Content-Type", "") and b"<html" not in answer.body.lower()
    assert not {"Set-Cookie", "Location"} & set(answer.headers)


# -- addresses ----------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor[:20])
def test_a_vendor_that_nobody_speaks_for_is_not_found(vendor, door, host):
    with door.wire() as wire:
        refused(wire.post(CALL, vendor), 404, "unknown_vendor")
        journaled(host, "unknown_vendor", len(json.dumps(CALL, separators=(",", ":"))))
        assert wire.post(CALL).outcome == "applied"


@pytest.mark.parametrize(
    "path",
    [
        "/hooks/claude-code/",
        "/hooks/claude-code/stop",
        "/hooks",
        "/hooks/",
        "/hook",
        "/hook/",
        "/hook/stop/",
        "/hook/status/",
        "/hook/subagent-stop",
        "/hook/Stop",
        "//hooks/claude-code",
        "/hooks//claude-code",
    ],
)
def test_an_address_that_is_none_is_refused_without_a_page(path, door):
    with door.wire() as wire:
        for method in ("POST", "GET"):
            answer = wire.ask(method, path, RAW if method == "POST" else None)
            assert_no_page(answer)
            assert answer.status == 404
        assert wire.post(CALL).outcome == "applied"


def test_what_follows_the_address_is_not_looked_at(door):
    with door.wire() as wire:
        for number, query in enumerate(["", "?", "?format=api", "?format=html", "?a=%ff", "?" + "a" * 3000]):
            answer = wire.ask("POST", f"/hooks/claude-code{query}", json.dumps(CALL | {"cwd": f"/{number}"}).encode())
            assert answer.outcome == "applied", query


# -- methods ------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_hook_takes_nothing_but_a_post(method, door):
    with door.wire() as wire:
        for path in ("/hooks/claude-code", "/hooks/nobody", "/hook/stop", "/hook/pre-tool-use"):
            answer = wire.ask(method, path)
            assert_no_page(answer)
            assert answer.status in ((200, 204, 405) if method == "OPTIONS" else (405,))
            if answer.status == 405 and method != "HEAD":
                refused(answer, 405, "method_not_allowed")
        assert wire.post(CALL).outcome == "applied"
    assert Agent.objects.count() == 1


def test_the_status_takes_no_post(door):
    with door.wire() as wire:
        refused(wire.ask("POST", "/hook/status", RAW), 405, "method_not_allowed")
        assert wire.ask("GET", "/hook/status").status == 200


# -- headers ------------------------------------------------------------------

ACCEPTS = ["text/html", "text/event-stream", "application/xml", "garbage", "", "*/*;q=0", "application/json;version=9"]
TYPES = [
    None,
    "",
    "text/plain",
    "text/html",
    "garbage",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/json; charset=latin-1",
]
KEYS = ["two words", "\xe9", "a" * 181, "tab\there"]
COUNTS = ["-1", "1.5", "x", "1e3", "0x10", "\xb2", "9223372036854775808", "9" * 500, "+1", "1_000", "NaN"]
TIMES = [
    "yesterday",
    "2026-13-45T00:00:00Z",
    "2026-11-21T25:00:00Z",
    "1763750000",
    "2026-11-21T10:00:00+99:00",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "\xb2026-11-21T10:00:00Z",
    "2026-11-21",
    "2026-11-21T10:00:00",
]
PROCESSES = [
    "",
    "x",
    "1",
    "1 2",
    "-1 2 3",
    "99999999999 1 a",
    "1 2 3 4",
    "0 0 0",
    "1 " + "9" * 41 + " a",
    "\xff \xff \xff",
]
ANCESTORS = ["", ",", "1,", "a,b", "-1", "1,2,3", ",".join(["1"] * 65), "99999999999", "1 2"]
PANES = ["x" * 5000, "\xe9\xff", "/tmp/tmux 0/default %1", " "]


def test_what_is_accepted_or_how_the_body_is_called_makes_no_difference(door):
    with door.wire() as wire:
        for number, accept in enumerate(ACCEPTS):
            assert wire.post(CALL | {"cwd": f"/a{number}"}, Accept=accept).outcome == "applied", accept
        for number, kind in enumerate(TYPES):
            assert wire.post(CALL | {"cwd": f"/c{number}"}, Content_Type=kind).outcome == "applied", kind


@pytest.mark.parametrize(
    ("header", "values"),
    [("Idempotency_Key", KEYS), ("X_Headspace_Sequence", COUNTS), ("X_Headspace_Occurred_At", TIMES)],
)
def test_a_key_a_count_and_a_time_that_cannot_be_meant_are_refused(header, values, door, host):
    with door.wire() as wire:
        for value in values:
            problem = refused(wire.post(CALL, **{header: value}), 400, "anomalous_payload")
            assert header.replace("_", "-") in problem["detail"]
            journaled(host, "anomalous_payload", len(json.dumps(CALL, separators=(",", ":"))))
        assert wire.post(CALL).outcome == "applied"
    assert Agent.objects.count() == 1


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Idempotency_Key", "a" * 180),
        ("Idempotency_Key", "!~"),
        ("Idempotency_Key", ""),
        ("X_Headspace_Sequence", "0"),
        ("X_Headspace_Sequence", "9223372036854775807"),
        ("X_Headspace_Sequence", ""),
        ("X_Headspace_Occurred_At", "2026-11-21T10:00:00Z"),
        ("X_Headspace_Occurred_At", "2026-11-21T10:00:00.123456-11:00"),
        ("X_Headspace_Occurred_At", "0001-01-01T00:00:00Z"),
        ("X_Headspace_Occurred_At", "9999-12-31T23:59:59Z"),
        ("X_Headspace_Occurred_At", ""),
    ],
)
def test_the_smallest_and_the_largest_are_taken_and_can_be_read_again(header, value, door):
    with door.wire() as wire:
        assert wire.post(CALL, **{header: value}).outcome == "applied"
    assert HookEvent.objects.get()


@pytest.mark.parametrize(
    ("header", "values"),
    [("X_Headspace_Process", PROCESSES), ("X_Headspace_Ancestors", ANCESTORS), ("X_Headspace_Pane", PANES)],
)
def test_a_process_that_cannot_be_meant_is_as_good_as_untold(header, values, door):
    with door.wire() as wire:
        for number, value in enumerate(values):
            body = CALL | {"hook_event_name": "SessionStart", "session_id": f"s{number}"}
            assert wire.post(body, **{header: value}).outcome == "applied", value
    assert Agent.objects.count() == len(values)


def test_a_host_name_that_is_not_ours_is_refused_without_a_page(transactional_db, web):
    with Door(web.port, add_host("one")[1]).wire() as wire:
        for name in ("evil.example", "headspace", "[::1", "a b", ""):
            answer = wire.post(CALL, Host=name)
            assert_no_page(answer)
            refused(answer, 400, "bad_request")
    assert not HookEvent.objects.exists()


HOOK = b"POST /hooks/claude-code HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"POST\r\n\r\n", 400),
        (b"POST / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
        (HOOK + b"Content-Length: -1\r\n\r\n", 400),
        (HOOK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (HOOK + b"no colon\r\n\r\n", 400),
        (b"POST /hooks/%s HTTP/1.1\r\n\r\n" % (b"a" * 5000), 414),
        (HOOK + b"Authorization: Bearer %s\r\n\r\n" % (b"a" * 9000), 431),
        (HOOK + b"X-One: 1\r\n" * 101 + b"\r\n", 431),
    ],
    ids=lambda value: ascii(value)[-25:],
)
def test_a_request_that_is_no_http_is_refused_without_a_page_and_harms_nobody(raw, status, door):
    with socket.create_connection(("127.0.0.1", door.port), 30) as wire:
        wire.sendall(raw)
        answer = http.client.HTTPResponse(wire)
        answer.begin()
        refused(Answer(answer.status, dict(answer.headers), answer.read()), status, CODES[status])
    with door.wire() as wire:
        assert wire.post(CALL).outcome == "applied"


def test_a_body_in_chunks_is_answered_and_the_connection_stays_usable(door):
    head = f"POST /hooks/claude-code HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {door.token}\r\n"
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(RAW), RAW)
    with socket.create_connection(("127.0.0.1", door.port), 30) as wire:
        wire.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk)
        first = wire.recv(65536)
        assert first.startswith((b"HTTP/1.1 204", b"HTTP/1.1 400"))
        wire.sendall(f"{head}Content-Length: {len(RAW)}\r\n\r\n".encode() + RAW)
        assert wire.recv(65536).startswith(b"HTTP/1.1 204")
