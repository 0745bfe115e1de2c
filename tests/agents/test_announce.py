"""The command hook as the client runs it: a process of its own against a real small HTTP server."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agents import announce
from agents.install import Receiver, installed

SCRIPT = Path(announce.__file__)
PAYLOAD = {"session_id": "s1", "hook_event_name": "SessionStart", "source": "startup", "cwd": "/x"}
BODY = json.dumps(PAYLOAD).encode()
# The deadline and the start of an interpreter on a busy machine.
DEADLINE = announce.DEADLINE + 2


class Answering(BaseHTTPRequestHandler):
    """Notes every request and gives the server's one answer."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers, body))
        status, kind, said = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.seen, server.answer = [], (204, "text/plain", b"")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@contextmanager
def listening(accepting):
    """Yield the port of a server that answers nothing: it lets connections wait, or drops them at once."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        if not accepting:
            yield door.getsockname()[1]
            return

        def drop():
            while True:
                try:
                    door.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=drop, daemon=True)
        thread.start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def settings_for(tmp_path):
    def write(port, base=None):
        path = tmp_path / "settings.json"
        path.write_text(installed(base, None, Receiver(f"http://127.0.0.1:{port}", "hs_token", "announce")).text)
        return path

    return write


def run(*arguments, body=BODY, shell=False, **variables):
    """Run the script as the client does; returns the finished process and the seconds it took."""
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    if shell:
        command = ["/bin/sh", "-c", " ".join(command) + "; true"]
    began = time.monotonic()
    done = subprocess.run(command, input=body, env=variables, capture_output=True, timeout=30, check=False)
    return done, time.monotonic() - began


def silent(done):
    return (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_payload_arrives_as_it_was_with_the_token_of_the_settings(server, settings_for):
    done, _ = run("--settings", settings_for(server.server_port))
    assert silent(done)
    ((path, headers, body),) = server.seen
    assert (path, body) == ("/hooks/claude-code", BODY)
    assert headers["Authorization"] == "Bearer hs_token"
    assert headers["Content-Type"] == "application/json"


def test_the_process_is_the_nearest_ancestor_that_is_no_shell_and_no_python(server, settings_for):
    # A process that gave itself another name stands for the client; a shell is between it and the script.
    inner = f"{sys.executable} -I {SCRIPT} --settings {settings_for(server.server_port)}; true"
    script = f"import os, sys; open('/proc/self/comm', 'w').write('claude'); sys.exit(os.system({inner!r}))"
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, env={})
    process.communicate(BODY, timeout=30)
    pid, start, place = server.seen[0][1]["X-Headspace-Process"].split()
    assert int(pid) == process.pid
    assert int(start) > 0
    assert place == announce.process_place()
    ancestors = [int(word) for word in server.seen[0][1]["X-Headspace-Ancestors"].split(",")]
    assert ancestors[0] == os.getpid()
    assert process.pid not in ancestors


def test_the_client_may_name_its_process_itself(server, settings_for):
    run("--settings", settings_for(server.server_port), shell=True, CLAUDE_PID=str(os.getpid()))
    pid, start, place = server.seen[0][1]["X-Headspace-Process"].split()
    assert (int(pid), start, place) == (os.getpid(), announce.process_start(os.getpid()), announce.process_place())


@pytest.mark.parametrize("named", ["1x", "-1", "4194304"])
def test_a_process_that_is_no_ancestor_is_not_believed(server, settings_for, named):
    run("--settings", settings_for(server.server_port), CLAUDE_PID=named)
    assert named not in server.seen[0][1].get("X-Headspace-Process", "none").split()


def test_a_pane_of_tmux_is_named(server, settings_for):
    run("--settings", settings_for(server.server_port), TMUX="/tmp/tmux-0/a,b,123,0", TMUX_PANE="%7")
    assert server.seen[0][1]["X-Headspace-Pane"] == "/tmp/tmux-0/a,b %7"


@pytest.mark.parametrize(
    "variables", [{}, {"TMUX": "/s,1,0"}, {"TMUX_PANE": "%1"}, {"TMUX": "/ä,1,0", "TMUX_PANE": "%1"}]
)
def test_without_a_pane_that_can_be_named_there_is_no_header(server, settings_for, variables):
    run("--settings", settings_for(server.server_port), **variables)
    assert "X-Headspace-Pane" not in server.seen[0][1]


def test_a_json_object_is_passed_on(server, settings_for):
    server.answer = (200, "application/json", b'{"hookSpecificOutput": {}}')
    done, _ = run("--settings", settings_for(server.server_port))
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{"hookSpecificOutput": {}}', b"")


@pytest.mark.parametrize(
    "answer",
    [
        (200, "application/json", b""),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"half": '),
        (200, "text/html", b"<html>"),
        (200, "application/json", b'{"a": "' + b"x" * announce.ANSWER_LIMIT + b'"}'),
        (302, "application/json", b'{"a": 1}'),
        (401, "application/json", b'{"detail": "no"}'),
        (500, "application/json", b'{"a": 1}'),
    ],
    ids=lambda answer: f"{answer[0]} {answer[2][:12]}",
)
def test_no_other_answer_is_printed(server, settings_for, answer):
    server.answer = answer
    done, _ = run("--settings", settings_for(server.server_port))
    assert silent(done)
    assert len(server.seen) == 1


def test_a_server_that_never_answers_is_left_at_the_deadline(settings_for):
    with listening(accepting=False) as port:
        done, seconds = run("--settings", settings_for(port))
    assert silent(done)
    assert announce.DEADLINE <= seconds < DEADLINE


def test_a_server_that_drops_the_connection_is_nothing_to_the_client(settings_for):
    with listening(accepting=True) as port:
        done, seconds = run("--settings", settings_for(port))
    assert silent(done)
    assert seconds < announce.DEADLINE


def test_a_dead_server_is_nothing_to_the_client(settings_for):
    with listening(accepting=False) as port:
        pass
    done, seconds = run("--settings", settings_for(port))
    assert silent(done)
    assert seconds < announce.DEADLINE


def test_a_server_that_answers_drop_by_drop_is_left_at_the_deadline(settings_for):
    stop = threading.Event()

    class Dripping(Answering):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            while not stop.wait(0.3):
                self.wfile.write(b" ")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        done, seconds = run("--settings", settings_for(server.server_port))
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
    assert silent(done)
    assert seconds < DEADLINE


def open_pipe(settings, first):
    """Run the script with a stdin that stays open behind the first bytes; returns its output and its seconds."""
    command = [sys.executable, "-I", str(SCRIPT), "--settings", str(settings)]
    began = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        process.stdin.write(first)
        process.stdin.flush()
        assert process.wait(30) == 0
        return process.stdout.read(), time.monotonic() - began


def test_a_whole_payload_is_sent_although_stdin_stays_open(server, settings_for):
    said, seconds = open_pipe(settings_for(server.server_port), BODY)
    assert (said, [body for _, _, body in server.seen]) == (b"", [BODY])
    assert seconds < announce.DEADLINE


def test_half_a_payload_is_given_up_at_the_deadline(server, settings_for):
    said, seconds = open_pipe(settings_for(server.server_port), BODY[:-5])
    assert (said, server.seen) == (b"", [])
    assert seconds < DEADLINE


def test_a_large_payload_arrives_whole(server, settings_for):
    body = json.dumps({**PAYLOAD, "long": "}" * 3_000_000}).encode()
    run("--settings", settings_for(server.server_port), body=body)
    assert server.seen[0][2] == body


def test_no_proxy_is_asked(server, settings_for):
    with listening(accepting=True) as port:
        proxy = f"http://127.0.0.1:{port}"
        run("--settings", settings_for(server.server_port), HTTP_PROXY=proxy, http_proxy=proxy, ALL_PROXY=proxy)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"hook_event_name": "sessionStart", "cursor_version": "1"}', b'{"a": 1}']
)
def test_what_is_no_payload_of_claude_code_is_not_sent(server, settings_for, body):
    done, _ = run("--settings", settings_for(server.server_port), body=body)
    assert silent(done)
    assert server.seen == []


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"hooks": 7}', '{"hooks": {"Stop": [{"hooks": [{"type": "http"}]}]}}']
)
def test_settings_without_our_entry_are_nothing_to_the_client(tmp_path, content):
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_text(content)
    assert silent(run("--settings", path)[0])


@pytest.mark.parametrize("arguments", [(), ("--settings",), ("--help",)])
def test_wrong_arguments_are_nothing_to_the_client(arguments):
    assert silent(run(*arguments)[0])


def test_our_entry_is_found_among_foreign_ones(server, settings_for):
    foreign = {"type": "http", "url": "http://127.0.0.1:1/", "headers": {"Authorization": "Bearer other"}}
    path = settings_for(server.server_port, json.dumps({"hooks": {"ConfigChange": [{"hooks": [foreign]}]}}))
    run("--settings", path)
    assert server.seen[0][1]["Authorization"] == "Bearer hs_token"
