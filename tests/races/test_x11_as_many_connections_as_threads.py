"""X11: N hooks with N connections never wait for each other's: a hook needs one, from its first statement to its last.

The limit is the database's own: the web's role may have as many connections as the web has threads.
"""

from dataclasses import replace

import psycopg
import pytest

from agents.models import Agent
from locks import LockKey, LockNamespace
from tests.races.hooks import Session
from tests.races.meeting import Actor, another_connection, answers, asked, third, wait_until, waiting
from tests.races.truths import broken, tools
from tests.races.web import Web, url_of_tests

N = 8
ROLE = "races_web"
SQL = f"""
    CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}' CONNECTION LIMIT {N};
    GRANT USAGE ON SCHEMA public TO {ROLE};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE};
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {ROLE};
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {ROLE};
"""


@pytest.fixture
def role(host):
    """Make the role with the limit; skip where the tests' own role may not."""
    with another_connection() as owner:
        try:
            owner.execute(SQL)
        except psycopg.errors.InsufficientPrivilege:
            pytest.skip("the tests' role may not create roles")
        yield url_of_tests(USER=ROLE, PASSWORD=ROLE)
        owner.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


@pytest.fixture
def serve(role):
    """Yield a maker of webs with N threads and N connections."""
    made = []

    def make(**environment):
        web = Web(N, "tests.races.stepped:application", role, HEADSPACE_BUSY_AFTER="60", **environment)
        made.append(web)
        web.wait_until_ready()
        return web

    yield make
    for web in made:
        web.stop()
    wait_until(lambda: not used())


def used():
    """Return how many connections the web has now."""
    ((count,),) = asked("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", ROLE)
    return count


def known(host):
    """Sessions whose agents are locked, each by its own lock."""
    sessions = [Session(host.token, f"s{number}") for number in range(N)]
    for session in sessions:
        session.start()
    return sessions, [LockKey(LockNamespace.AGENT, pk) for pk in Agent.objects.values_list("pk", flat=True)]


def unknown(host):
    """Sessions that nobody has heard of, whose names are locked."""
    sessions = [Session(host.token, f"s{number}") for number in range(N)]
    names = (f"{host.pk}:claude-code:{session.session}" for session in sessions)
    return sessions, [LockKey(LockNamespace.SESSION, name) for name in names]


def all_at_once(host, web, make_sessions):
    """Let N hooks wait for N locks at once, and as many more come behind them; return what was heard and used."""
    sessions, keys = make_sessions(host)
    mine = [replace(session, send=web.post) for session in sessions]
    with third() as busy:
        for key in keys:
            busy.lock(key)
        first = [Actor(session.pre, "t1") for session in mine]
        wait_until(lambda: len(waiting()) + sum(actor.is_done for actor in first) >= N)
        behind = [Actor(session.pre, "t2") for session in mine]
        at_most = used()
        busy.step_aside()
        return [answer.status for answer in answers([*first, *behind])], at_most


@pytest.mark.parametrize("make_sessions", [known, unknown])
def test_as_many_hooks_as_connections_all_get_through(host, serve, make_sessions):
    heard, at_most = all_at_once(host, serve(), make_sessions)
    assert heard == [204] * 2 * N
    assert at_most == N
    assert [tools(agent) for agent in Agent.objects.all()] == [{"t1", "t2"}] * N
    assert broken() == []


def test_mutant_with_a_second_connection_for_the_lock_they_starve(host, serve):
    heard, _ = all_at_once(host, serve(RACES_MUTANT="second_connection"), known)
    assert 503 in heard
