import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest

from headspace.embedded_postgres import EmbeddedPostgres
from tests.start.conftest import (
    PROJECT,
    answers,
    children,
    gone,
    kill_postmaster,
    of_process,
    parent,
    postmaster,
    wait_until,
)

PROGRAMS = ["web", "queue", "reap", "drain"]
FOREIGN = {"DATABASE_URL", "HEADSPACE_DATA", "HEADSPACE_PORT", "SECRET_KEY", "ALLOWED_HOSTS"}
ENVIRONMENT = {name: text for name, text in os.environ.items() if name not in FOREIGN}


class Up:
    """A `manage.py up` of its own data directory."""

    def __init__(self, data, *options, **variables):
        self.data = data
        self.server = EmbeddedPostgres(data)
        self.output = data.parent / f"output-{time.monotonic_ns()}"
        command = [sys.executable, "manage.py", "up", "--data", str(data), "--port", "0", *options]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=ENVIRONMENT | variables, stdout=output, stderr=output
            )

    @property
    def said(self):
        return self.output.read_text()

    def ready(self):
        wait_until(lambda: "Headspace is ready" in self.said or self.process.poll() is not None, within=60)
        assert self.process.poll() is None, self.said
        return self

    @property
    def url(self):
        return re.search(r"Headspace is ready: (http://127\.0\.0\.1:\d+)/", self.said)[1]

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])

    def child(self, name):
        """Return the process id of the program, which is a direct child, by a word of its command."""
        word = {"web": "gunicorn", "queue": "queue"}.get(name, name)
        for pid in children(self.process.pid):
            words = of_process(pid, "cmdline").split("\0")
            if word in words and parent(pid) == self.process.pid:
                return pid
        return None

    def all_of_it(self):
        """Return every process id, with those of PostgreSQL."""
        return {self.process.pid, *children(self.process.pid), *children(postmaster(self.server))}

    def stop(self):
        self.process.terminate()
        assert self.process.wait(40) == 0, self.said
        return self

    def clean_up(self):
        self.process.kill()
        self.process.wait()
        self.server.stop()


@pytest.fixture(scope="module")
def one(shared_place):
    """A machine that is only looked at."""
    up = Up(shared_place / "one")
    try:
        yield up.ready()
    finally:
        up.clean_up()


@pytest.fixture
def start(place):
    """Starts machines that are ended by the test."""
    started = []

    def begin(*options, **variables):
        started.append(Up(place / "data", *options, **variables))
        return started[-1]

    yield begin
    for up in started:
        up.clean_up()


def status(url, path, headers):
    """Return the status of a GET, without following anywhere."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    connection.request("GET", path, headers=headers)
    code = connection.getresponse().status
    connection.close()
    return code


def refusal_of(*options, **variables):
    """Return the one line of a start that is refused."""
    command = [sys.executable, "manage.py", "up", *options]
    done = subprocess.run(command, cwd=PROJECT, env=ENVIRONMENT | variables, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.removesuffix("\n")


def test_it_says_where_it_is_and_what_installs_the_hooks(one):
    token = re.search(r"manage\.py install_hooks --server (\S+) --token (hs_\S+)$", one.said, re.MULTILINE)
    assert token[1] == one.url
    assert status(one.url, "/health/live", {}) < 500
    assert status(one.url, "/hook/status", {"Authorization": f"Bearer {token[2]}"}) == 200
    assert status(one.url, "/hook/status", {"Authorization": "Bearer hs_guess"}) == 401


def test_the_login_it_shows_works(one):
    password = re.search(r"Login  operator, password (\S+)", one.said)[1]
    browser = build_opener(HTTPCookieProcessor(jar := CookieJar()))
    browser.open(f"{one.url}/admin/login/").read()
    csrf = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
    form = {"username": "operator", "password": password, "csrfmiddlewaretoken": csrf, "next": "/admin/"}
    page = browser.open(Request(f"{one.url}/admin/login/", urlencode(form).encode(), {"Referer": one.url}))
    assert page.url == f"{one.url}/admin/"


def test_all_output_of_programs_has_their_name(one):
    before, _, after = one.said.partition("\nHeadspace is ready")
    lines = before.splitlines() + after.partition("Stop   Ctrl-C\n")[2].splitlines()
    assert [line for line in lines if not re.match(r"(up|postgres|web|queue|reap|drain) +\| ", line)] == []


def test_it_keeps_its_secrets_private(one):
    for name in ("secret-key", "database-url"):
        assert stat.S_IMODE((one.data / name).stat().st_mode) == 0o600


def test_it_listens_to_this_machine_alone(one):
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = {words[1] for words in listening if words[3] == "0A"}
    assert f"0100007F:{one.port:04X}" in addresses
    assert f"00000000:{one.port:04X}" not in addresses


def test_a_second_one_on_the_same_directory_is_refused_in_one_line(one):
    assert refusal_of("--data", str(one.data), "--port", "0") == (
        f"Headspace is already running on {one.data} (process {one.process.pid}). "
        "Stop it first, or choose another directory with --data."
    )
    assert one.process.poll() is None


def test_a_taken_port_is_refused_in_one_line_before_anything_is_started(one, place):
    assert refusal_of("--data", str(place / "data"), "--port", str(one.port)) == (
        f"Port {one.port} on 127.0.0.1 is taken by another program. Choose another one with --port."
    )
    assert not (place / "data" / "postgres").exists()


def test_a_place_that_cannot_be_is_refused_in_one_line(place):
    assert refusal_of("--data", str(place), "--port", "65536").startswith("There is no port 65536.")
    assert refusal_of("--data", str(place), "--host", "192.0.2.1").startswith("Headspace cannot listen on 192.0.2.1")
    (place / "file").touch()
    assert refusal_of("--data", str(place / "file")) == (
        f"The data directory {place / 'file'} cannot be used: Not a directory."
    )


def test_a_database_that_does_not_answer_is_told(place):
    up = Up(place / "data", DATABASE_URL="postgresql://u:p@127.0.0.1:1/none")
    assert up.process.wait(30) == 1
    assert "The database does not answer" in up.said
    assert up.said.endswith("The database could not be prepared, as said above.\n")
    assert not (place / "data" / "postgres").exists()


def test_a_database_of_ones_own_is_used_and_left_running(start):
    up = start(DATABASE_URL=os.environ["DATABASE_URL"]).ready()
    assert not (up.data / "postgres").exists()
    up.stop()
    assert answers(os.environ["DATABASE_URL"])


def test_a_stop_before_it_is_ready_is_clean_and_shows_once_what_is_shown_once(start):
    begun = start()
    wait_until(lambda: "postgres | runs" in begun.said)
    everything = begun.all_of_it()
    begun.stop()
    assert [pid for pid in everything if not gone(pid)] == []
    assert "Headspace is ready" not in begun.said

    again = start().ready()
    told = begun.said + again.said
    assert len(re.findall(r"Login  operator, password \S+", told)) == 1
    assert len(re.findall(r"--token hs_\S+", told)) == 1


def test_a_stop_leaves_no_process_and_the_next_start_goes_on(start):
    first = start().ready()
    wait_until(lambda: None not in [first.child(name) for name in PROGRAMS])
    everything = first.all_of_it()
    first.stop()
    assert [pid for pid in everything if not gone(pid)] == []
    assert not first.server.running()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", first.port), timeout=5)
    kept = (first.data / "secret-key").read_text()
    second = start().ready()
    assert (first.data / "secret-key").read_text() == kept
    assert "Login  operator (new password: " in second.said
    assert "--token TOKEN (new token: " in second.said
    assert f"HEADSPACE_DATA={first.data} " in second.said
    second.process.send_signal(signal.SIGINT)
    assert second.process.wait(40) == 0


def test_what_is_killed_is_started_again(one):
    killed = wait_until(lambda: None not in (found := [one.child(name) for name in PROGRAMS]) and found)
    forks = [fork for pid in killed for fork in children(pid)]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(gone(fork) for fork in forks))
    # The port is held all the while: who asks now is answered as soon as there is somebody.
    assert status(one.url, "/admin/login/", {}) == 200
    for name, pid in zip(PROGRAMS, killed, strict=True):
        wait_until(lambda name=name, pid=pid: one.child(name) not in (None, pid))
        assert re.search(rf"^{name} +\| was ended by SIGKILL, starts again in 0\.5 s$", one.said, re.MULTILINE)


def test_a_killed_postgres_is_started_again_at_its_address(one):
    url = (one.data / "database-url").read_text()
    kill_postmaster(one.server)
    wait_until(lambda: one.said.count("postgres | runs") == 2)
    assert (one.data / "database-url").read_text() == url
    assert answers(url)
    assert status(one.url, "/admin/login/", {}) == 200


def test_when_it_is_killed_all_programs_end_and_the_next_one_takes_postgres_over(one):
    postgres = {postmaster(one.server), *children(postmaster(one.server))}
    programs = set(children(one.process.pid)) - postgres
    client = http.client.HTTPConnection("127.0.0.1", one.port, timeout=20)
    client.request("GET", "/health/live")
    client.getresponse().read()
    one.process.kill()
    one.process.wait()
    # Asked politely, the web would wait for what this client may still send.
    wait_until(lambda: all(gone(pid) for pid in programs), within=2)
    client.close()
    assert one.server.running()
    second = Up(one.data, "--port", str(one.port))
    try:
        assert "postgres | was already there" in second.ready().said
        second.stop()
        assert not one.server.running()
    finally:
        second.clean_up()


def test_the_help_says_what_it_does_and_names_the_defaults():
    done = subprocess.run([sys.executable, "manage.py", "up", "--help"], cwd=PROJECT, capture_output=True, text=True)
    for word in ("--host", "--port", "--data", "HEADSPACE_PORT", "Ctrl-C"):
        assert word in done.stdout
