"""M7: a web process that is killed anywhere in a hook leaves all of it or nothing, and sent again it is there once.

The process is gunicorn's worker and ends by SIGKILL: between any two statements, while its backend waits for the lock,
while it commits, and when the answer is made but not sent.
"""

import http.client
import os
import signal
from contextlib import ExitStack

import pytest

from agents.models import Agent, Command, HookEvent, StateChange, Turn
from locks import LockKey, LockNamespace
from tests.races.hooks import Session
from tests.races.meeting import Actor, backends, third, wait_until, waiting
from tests.races.mutants import BLIND_LOOK, BLIND_RECORD, NO_CONFLICT, rewritten, without
from tests.races.steps import Watcher
from tests.races.truths import agent_of, broken
from tests.races.web import Web

ONE_ROW = ("agents_hookevent", "event_one_row_per_key")
STEPPED = "tests.races.stepped:application"


@pytest.fixture
def watched(tmp_path):
    """Yield a maker of webs that stop at each step, and where their watcher listens."""
    with ExitStack() as running:

        def make(**environment):
            web = Web(1, STEPPED, RACES_WATCHER=str(tmp_path / "watcher"), **environment)
            running.callback(web.stop)
            web.wait_until_ready()
            return web

        yield make, tmp_path / "watcher"


def known(host, web, name):
    """A session whose agent this process has not heard of yet: its hook looks, and records."""
    Session(host.token, name).start()
    return Session(host.token, name, send=web.post)


def remembered(host, web, name):
    """A session whose agent this process wrote last: its hook records at once."""
    session = Session(host.token, name, send=web.post)
    session.start()
    return session


def unknown(host, web, name):
    """A session that nobody has heard of: its hook makes the agent."""
    return Session(host.token, name, send=web.post)


def written(name):
    """Return how many of each there are of the session's prompt."""
    rows = HookEvent.objects.filter(session_id=name, name="UserPromptSubmit", outcome="applied")
    of_agent = {"agent__session_id": name}
    return {
        "rows": rows.count(),
        "commands": Command.objects.filter(**of_agent).count(),
        "turns": Turn.objects.filter(**of_agent).count(),
        "moves": StateChange.objects.filter(**of_agent, command__isnull=False).count(),
    }


ALL, NOTHING = {1}, {0}


def wrong_after_a_kill(name, place):
    """Return what is wrong before the client comes again: part of a hook."""
    found = written(name)
    agents = Agent.objects.filter(session_id=name).count()
    begun = HookEvent.objects.filter(session_id=name).exists()
    if set(found.values()) not in (ALL, NOTHING) or bool(agents) is not begun:
        return [f"{place}: {found}, {agents} agents"]
    return []


def wrong_after_all(name, place, answer):
    """Return what is wrong after the client has come again."""
    found = written(name)
    if set(found.values()) != ALL or not answer.is_good:
        return [f"{place}, and sent again: {found}, {answer.status} {answer.outcome}"]
    return []


def killed_at(number, hook, path):
    """Let a hook go so many steps, then kill its process; return where it stood, or nothing when it was done before."""
    watcher = Watcher(path)
    try:
        caller = Actor(hook)
        for _ in range(number):
            if step := watcher.step(caller):
                step.go_on()
        step = watcher.step(caller)
        if step is None:
            return None
        os.kill(step.pid, signal.SIGKILL)
    finally:
        watcher.close()
    with pytest.raises((http.client.HTTPException, OSError)):
        caller.answer()
    step.go_on()
    wait_until(lambda: step.backend not in backends())
    return step.place


def killed_everywhere(host, web, path, make_session):
    """Kill the process at every step of a hook, one after the other; return the steps and what was wrong."""
    places, found = [], []
    while True:
        name = f"s{len(places)}"
        session = make_session(host, web, name)
        place = killed_at(len(places), lambda session=session: session.prompt(key=session.session), path)
        if place is None:
            return places, found + broken()
        places.append(place)
        found += wrong_after_a_kill(name, place)
        found += wrong_after_all(name, place, session.prompt(key=name))


@pytest.mark.parametrize(("make_session", "least"), [(known, 5), (remembered, 3), (unknown, 20)])
def test_killed_at_every_step_it_is_all_or_nothing_and_once_in_the_end(host, watched, make_session, least):
    make, path = watched
    places, found = killed_everywhere(host, make(), path, make_session)
    assert found == []
    assert len(places) >= least
    assert places[-1] == "before the answer"


def test_mutant_with_two_commits_a_kill_between_them_leaves_half(host, watched):
    make, path = watched
    _, found = killed_everywhere(host, make(RACES_MUTANT="two_commits"), path, known)
    assert any("'rows': 1, 'commands': 1, 'turns': 0" in sentence for sentence in found), found


def test_mutant_without_its_key_it_is_there_twice(host, watched):
    make, path = watched
    with without(*ONE_ROW), rewritten([*BLIND_LOOK, *BLIND_RECORD, *NO_CONFLICT]):
        _, found = killed_everywhere(host, make(), path, known)
    assert any("and sent again: {'rows': 2, 'commands': 1, 'turns': 2" in sentence for sentence in found), found


# -- inside a statement -------------------------------------------------------


def in_the_wait_for_the_lock(busy, host):
    busy.lock(LockKey(LockNamespace.AGENT, agent_of().pk))


def in_the_record(busy, host):
    busy.hold_row("agents_agent", agent_of().pk)


def in_the_commit(busy, host):
    """Foreign keys are checked when it commits: then it waits for the host's row."""
    busy.do("SELECT FROM agents_host WHERE id = %s FOR UPDATE", [host.pk])


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed at once", "noticed too late"])
@pytest.mark.parametrize("where", [in_the_wait_for_the_lock, in_the_record, in_the_commit])
def test_killed_inside_a_statement_it_is_all_or_nothing_and_once_in_the_end(host, web, where, noticed):
    """The backend lives on without its client: until it notices, or until it has written and finds nobody to tell."""
    session = known(host, web, "s1")
    with third() as busy:
        where(busy, host)
        caller = Actor(session.prompt, key="k1")
        busy.wait_for_waiting(1)
        (backend,) = waiting()
        os.kill(web.worker(), signal.SIGKILL)
        if noticed:
            wait_until(lambda: backend not in backends())
        busy.step_aside()
    with pytest.raises((http.client.HTTPException, OSError)):
        caller.answer()
    wait_until(lambda: backend not in backends())
    place = where.__name__
    assert wrong_after_a_kill("s1", place) == []
    assert wrong_after_all("s1", place, session.prompt(key="k1")) == []
    assert broken() == []
