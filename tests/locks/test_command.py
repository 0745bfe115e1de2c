import json
import os
import re
import signal
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections, transaction

from locks import LockNamespace, advisory_lock, labelled
from locks.errors import MonitorTimeout
from locks.models import Termination
from locks.monitor import name_keys, snapshot
from tests.locks.actors import PATIENCE, ask, until_waiting
from tests.locks.audit import forget_terminations
from tests.servers import django_database

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


@pytest.fixture(autouse=True)
def nothing_is_on_record(transactional_db):
    yield
    forget_terminations()


def _output(*arguments):
    out = StringIO()
    call_command("locks", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def jam(actor):
    holder, waiter = actor(), actor()
    for one, who in [(holder, "hook [stop]"), (waiter, "cycle reap")]:
        one.enter(transaction.atomic())
        one.enter(labelled(who, "c-1"))
    holder.enter(advisory_lock(AGENT, 42))
    waiter.start_entering(advisory_lock(AGENT, 42))
    until_waiting(waiter)
    return holder.pid, waiter.pid


def test_it_says_when_nobody_waits():
    lines = _output().splitlines()

    assert (lines[0], lines[-1]) == ("Nobody waits.", "last hour: timeouts 0, skips 0, waits over 1s 0, lost 0")
    assert len(lines) == 3


def test_it_says_how_full_the_servers_table_of_locks_is(monkeypatch):
    assert re.search(r"lock table: \d+ of \d+ \(0 %\)", _output())


def test_the_tree_is_what_is_shown_unless_told_otherwise(jam):
    shown, asked_for = (re.sub(r"\d+\.\d+", "", _output(*way)) for way in ([], ["--tree"]))

    assert shown == asked_for


def test_waiters_have_their_place_in_the_queue(jam):
    assert "waits #1" in _output()


def test_it_draws_who_waits_behind_whom(jam):
    text = _output()

    assert "1 in the way of others" in text
    assert f"hook [stop] (pid {jam[0]}, idle in transaction)" in text
    assert f"cycle reap (pid {jam[1]}) waits for AGENT 42" in text
    assert text.index(str(jam[0])) < text.index(str(jam[1]))


def test_a_lock_that_is_not_ours_is_called_so(actor):
    stranger = actor()
    stranger.do(ask, "SELECT pg_advisory_lock(-5)")

    assert "key -5, not ours: held by an idle connection" in _output()


def test_as_json_it_prints_what_the_api_answers(jam):
    printed = json.loads(_output("--json"))
    expected = json.loads(json.dumps(snapshot().as_json()))
    for body in (printed, expected):
        for lock in body["locks"]:
            lock["held_seconds"] = lock["wait_seconds"] = None

    assert printed == expected
    assert printed["count"] == 2


WAYS = [[], ["--tree"], ["--json"], ["--watch", "0.01"], ["--terminate", "1", "--yes"]]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_a_database_that_is_too_busy_is_said_in_one_line(monkeypatch, way):
    def too_busy(*_):
        raise MonitorTimeout("too busy")

    monkeypatch.setattr("locks.management.commands.locks.snapshot", too_busy)
    monkeypatch.setattr("locks.termination.snapshot", too_busy)
    with pytest.raises(CommandError, match=r"^too busy$"):
        _output(*way)


def test_watching_ends_with_one_line_when_the_database_goes(monkeypatch):
    looks = iter([snapshot])

    def goes(using):
        for look in looks:
            return look(using)
        raise OperationalError("the connection is lost\nand more")

    monkeypatch.setattr("locks.management.commands.locks.snapshot", goes)
    with pytest.raises(CommandError) as said:
        _output("--watch", "0.01")
    assert str(said.value) == "The database 'default' did not say who holds which lock: the connection is lost."


def test_a_server_that_is_away_is_one_line_and_exit_1():
    ended = subprocess.run(
        [sys.executable, "manage.py", "locks"],
        env=os.environ | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(r"CommandError: The database 'default' did not say .*\.\n", ended.stderr)


@pytest.mark.parametrize("way", WAYS[:-1], ids=" ".join)
def test_a_database_that_was_not_migrated_is_told_what_to_do(way):
    with django_database(_url("postgres")) as alias, pytest.raises(CommandError) as said:
        _output(*way, "--database", alias)
    assert str(said.value).endswith(f"Migrate it first: manage.py migrate --database {alias}.")
    assert "\n" not in str(said.value)


def test_another_database_can_be_looked_at():
    with django_database(_url(connection.settings_dict["NAME"])) as alias, connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), pg_advisory_lock(-5)")
        own_pid = cursor.fetchone()[0]
        assert "not ours" in _output("--database", alias)
        with pytest.raises(CommandError, match="the session that asks"):
            _output("--terminate", str(own_pid), "--database", alias)


def test_keys_of_another_database_have_names_of_their_own(monkeypatch):
    monkeypatch.setattr("locks.monitor._resolvers", {})
    name_keys(AGENT, lambda keys: dict.fromkeys(keys, "this one"))
    url = _url(connection.settings_dict["NAME"])
    with django_database(url) as alias, transaction.atomic(), advisory_lock(AGENT, 42):
        assert ("this one" in _output(), "this one" in _output("--database", alias)) == (True, False)
        name_keys(AGENT, lambda keys: dict.fromkeys(keys, "that one"), using=alias)
        assert ("that one" in _output(), "that one" in _output("--database", alias)) == (False, True)


def test_a_database_that_is_none_is_refused():
    with pytest.raises(CommandError, match="invalid choice: 'nowhere'"):
        _output("--database", "nowhere")


def _url(name):
    settings = connection.settings_dict | {"NAME": name}
    return "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**settings)


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan"])
def test_watching_needs_a_pause_that_can_be(seconds):
    with pytest.raises(CommandError, match="number of seconds"):
        _output("--watch", seconds)


def test_watching_looks_again_until_it_is_interrupted():
    watching = subprocess.Popen(
        [sys.executable, "manage.py", "locks", "--watch", "0.01"],
        env=os.environ | {"DATABASE_URL": _url(connection.settings_dict["NAME"])},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = threading.Timer(6 * PATIENCE, watching.kill)
    deadline.start()
    try:
        looks = [watching.stdout.readline() for _ in range(6)]
        watching.send_signal(signal.SIGINT)
        rest, _ = watching.communicate()
    finally:
        deadline.cancel()
        watching.kill()
        watching.wait()
    assert looks[::3] == [b"Nobody waits.\n"] * 2
    assert watching.returncode == 0
    assert b"Traceback" not in rest


def _is_there(pid):
    return ask("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", [pid])


def test_ending_a_session_shows_what_it_holds_and_says_that_it_has_ended(jam):
    holder, _ = jam
    said = _output("--terminate", str(holder), "--yes", "--reason", "it hangs")

    assert re.search(rf"hook \[stop\] \(pid {holder}\) holds\s+AGENT 42 for .*, and 1 wait", said)
    assert f"pid {holder}: it has ended." in said
    assert not _is_there(holder)
    row = Termination.objects.get()
    assert (row.reason, row.outcome, row.holder) == ("it hangs", "ended", "hook [stop]")
    assert "@" in row.by


@pytest.mark.parametrize(
    ("answer", "has_ended"), [("y", True), ("Yes", True), ("", False), ("n", False), ("yep", False)]
)
def test_it_asks_first(jam, monkeypatch, answer, has_ended):
    monkeypatch.setattr("builtins.input", lambda: answer)
    said = _output("--terminate", str(jam[0]))

    assert "[y/N]" in said
    assert _is_there(jam[0]) is not has_ended
    assert ("Nothing was done." in said) is not has_ended
    assert Termination.objects.exists() is has_ended


def test_where_nobody_can_answer_nothing_is_done(jam, monkeypatch):
    def nobody():
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(CommandError, match="--yes"):
        _output("--terminate", str(jam[0]))
    assert _is_there(jam[0])


def test_it_asks_about_what_it_has_shown(jam, monkeypatch):
    """Who gives its lock back while the person thinks is not ended for what it holds then."""
    holder, waiter = jam

    def think():
        ask("SELECT pg_terminate_backend(%s, 5000)", [holder])
        return "y"

    monkeypatch.setattr("builtins.input", think)
    with pytest.raises(CommandError, match="does not hold any more"):
        _output("--terminate", str(holder))
    assert _is_there(waiter)


def test_a_stranger_is_refused_without_a_question(actor, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda: pytest.fail("asked"))
    stranger = actor()
    stranger.do(ask, "SELECT pg_advisory_lock(-5)")
    with pytest.raises(CommandError, match="holds no lock of ours"):
        _output("--terminate", str(stranger.pid))

    assert _is_there(stranger.pid)
    assert Termination.objects.get().outcome == "foreign"


def test_a_process_that_is_none_is_refused_and_the_refusal_is_on_record():
    with pytest.raises(CommandError, match="holds no lock of ours"):
        _output("--terminate", "2147483647", "--yes", "--reason", "it hangs")

    row = Termination.objects.get()
    assert (row.pid, row.reason, row.outcome) == (2147483647, "it hangs", "foreign")


@pytest.mark.parametrize("pid", ["2147483648", "99999999999", "-1", "x", "1.5", ""])
def test_a_number_that_no_process_has_is_refused_in_one_line(pid):
    with pytest.raises(CommandError, match="must be the number of a process"):
        _output("--terminate", pid, "--yes")
    assert not Termination.objects.exists()


def test_its_own_session_is_refused():
    with pytest.raises(CommandError, match="the session that asks"):
        _output("--terminate", str(ask("SELECT pg_backend_pid()")), "--yes")


def test_many_locks_are_not_all_shown_on_a_terminal(actor, monkeypatch):
    monkeypatch.setattr("locks.management.commands.locks._MOST_ROWS", 2)
    stranger = actor()
    stranger.do(ask, "SELECT count(pg_advisory_lock(key)) FROM generate_series(1, 5) AS key")

    assert "and 3 more" in _output()
