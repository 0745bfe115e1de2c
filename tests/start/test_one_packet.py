"""Headspace promises one packet per answer: counted by the kernel at a client of the real server, and per write."""

import json
import socket
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest

from headspace.claims import claimed_port
from headspace.one_packet import OnePacketResponse
from tests.start.conftest import PROJECT

APPLICATION = "tests.start.wsgi_answers:application"


def packets_received(client):
    """Return how many segments with content the kernel has received (tcpi_data_segs_in)."""
    return struct.unpack_from("=I", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 152)[0]


@pytest.fixture(scope="module")
def address():
    with claimed_port("127.0.0.1", 0) as listener:
        command = [sys.executable, "-m", "gunicorn", "-c", "python:headspace.web", "--workers", "1", APPLICATION]
        command += ["--bind", f"fd://{listener.fileno()}"]
        server = subprocess.Popen(command, cwd=PROJECT, pass_fds=[listener.fileno()])
        try:
            yield listener.getsockname()
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture(scope="module")
def client(address):
    with socket.create_connection(address, timeout=20) as connected:
        yield connected


def asked(client, path):
    """Return head, body and the number of packets of the answer."""
    before = packets_received(client)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, _, body = client.recv(1_000_000).partition(b"\r\n\r\n")
    return head.decode(), body, packets_received(client) - before


def test_an_answer_with_json_is_one_packet(client):
    head, body, packets = asked(client, "/json")
    assert head.startswith("HTTP/1.1 200")
    assert json.loads(body) == {"no_delay": 1}
    assert packets == 1


def test_an_answer_without_body_is_one_packet(client):
    head, body, packets = asked(client, "/nothing")
    assert head.startswith("HTTP/1.1 204")
    assert (body, packets) == (b"", 1)


def test_answers_on_one_connection_do_not_mix(client):
    answers = [asked(client, path) for path in ("/json", "/nothing", "/json")]
    assert [packets for *_, packets in answers] == [1, 1, 1]
    assert answers[0][1] == answers[2][1]


HEAD = b"POST /json HTTP/1.1\r\nHost: localhost\r\n"
REFUSED = {
    "no HTTP": (b"GARBAGE\r\n\r\n", 400, "bad_request"),
    "no number": (HEAD + b"Content-Length: x\r\n\r\n", 400, "bad_request"),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "bad_request"),
    "a long address": (b"POST /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * 5000), 414, "uri_too_long"),
    "a wish": (HEAD + b"Expect: miracles\r\n\r\n", 417, "expectation_failed"),
    "a long header": (HEAD + b"X-Long: %s\r\n\r\n" % (b"a" * 9000), 431, "headers_too_large"),
    "many headers": (HEAD + b"X-One: 1\r\n" * 101 + b"\r\n", 431, "headers_too_large"),
    "an unknown coding": (HEAD + b"Transfer-Encoding: br\r\n\r\n", 501, "not_implemented"),
    "an application that fails": (HEAD.replace(b"json", b"fail") + b"\r\n", 500, "internal_error"),
}


@pytest.mark.parametrize(("request_", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_what_gunicorn_refuses_is_a_problem_document_in_one_packet(address, request_, status, code):
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(request_)
        with client.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")  # to the end: the connection is closed
        packets = packets_received(client)
    line, *headers = head.decode().split("\r\n")
    assert line.startswith(f"HTTP/1.1 {status} ")
    assert {"Content-Type: application/problem+json", f"Content-Length: {len(body)}", "Connection: close"} == {*headers}
    found = json.loads(body)
    assert set(found) == {"type", "title", "status", "detail", "code", "correlation_id"}
    assert (found["status"], found["code"], line.split(" ", 2)[2]) == (status, code, found["title"])
    assert packets == 1


@pytest.fixture
def writes():
    """A response, and a function that returns what each of its writes sent: such a socket keeps writes apart."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)

    def sent():
        packets = []
        try:
            while packet := theirs.recv(1_000_000):
                packets.append(packet)
        except BlockingIOError:
            return packets

    def response(method="GET"):
        request = SimpleNamespace(method=method, version=(1, 1), should_close=lambda: False)
        return OnePacketResponse(request, ours, SimpleNamespace(sendfile=False, is_ssl=False, protocol="http"))

    with ours, theirs:
        yield response, sent


def test_head_and_first_piece_leave_in_one_write_and_the_rest_as_it_comes(writes):
    new, sent = writes
    response = new()
    response.start_response("200 OK", [("Content-Length", "9")])
    response.write(b"first")
    (first,) = sent()
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert first.endswith(b"\r\n\r\nfirst")
    response.write(b"rest")
    response.close()
    assert sent() == [b"rest"]


def test_a_stream_of_unknown_length_is_framed_in_chunks(writes):
    new, sent = writes
    response = new()
    response.start_response("200 OK", [("Content-Type", "text/event-stream")])
    response.write(b"first event")
    (first,) = sent()
    assert b"Transfer-Encoding: chunked\r\n" in first
    assert first.endswith(b"\r\n\r\nB\r\nfirst event\r\n")
    response.write(b"")
    response.write(b"next")
    response.close()
    assert sent() == [b"4\r\nnext\r\n", b"0\r\n\r\n"]


def test_an_empty_answer_is_one_write(writes):
    new, sent = writes
    response = new()
    response.start_response("204 No Content", [])
    response.write(b"")
    assert sent() == []
    response.close()
    (only,) = sent()
    assert only.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert only.endswith(b"\r\n\r\n")


def test_an_answer_to_head_has_the_length_and_no_body(writes):
    new, sent = writes
    response = new("HEAD")
    response.start_response("200 OK", [("Content-Length", "5")])
    response.close()
    (only,) = sent()
    assert b"Content-Length: 5\r\n" in only
    assert only.endswith(b"\r\n\r\n")


def test_nothing_has_left_when_a_view_fails_before_its_first_piece(writes):
    new, sent = writes
    response = new()
    response.start_response("200 OK", [("Content-Length", "5")])
    response.send_headers()
    assert not response.headers_sent  # so gunicorn answers 500
    assert sent() == []
