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
def client():
    with claimed_port("127.0.0.1", 0) as listener:
        command = [sys.executable, "-m", "gunicorn", "-c", "python:headspace.web", "--workers", "1", APPLICATION]
        command += ["--bind", f"fd://{listener.fileno()}"]
        server = subprocess.Popen(command, cwd=PROJECT, pass_fds=[listener.fileno()])
        try:
            with socket.create_connection(listener.getsockname(), timeout=20) as connected:
                yield connected
        finally:
            server.terminate()
            server.wait(20)


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
