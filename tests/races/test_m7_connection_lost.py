"""M7, seen from the database: a backend that ends anywhere in a hook costs the client nothing.

Between two statements, while it waits for the lock, while it holds it, and in its commit, where nobody can know what
became of it: the hook asks again on a new connection, and its key tells.
"""

import pytest
from django.db import connection

from agents import intake, views
from agents.models import HookEvent
from locks import LockKey, LockNamespace
from tests.races.hooks import Session
from tests.races.meeting import Actor, another_connection, third, waiting
from tests.races.mutants import replaced
from tests.races.steps import install
from tests.races.truths import agent_of, broken, ends, rows_of


def terminate(pid):
    """End a backend, and come back when it is gone."""
    with another_connection() as operator:
        operator.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


class Terminator:
    """Ends this thread's own backend once, at the so-many-th step."""

    def __init__(self, number):
        self._left = number
        self.place = None

    def __call__(self, place):
        self._left -= 1
        if self._left < 0 and self.place is None:
            self.place = place
            terminate(connection.connection.info.backend_pid)


def lost_at(number, hook):
    """Lose the connection at a step of a hook; return where, if it came that far, and what the client heard."""
    terminator = Terminator(number)

    def act():
        connection.ensure_connection()
        install(connection, terminator)
        return hook()

    return terminator, Actor(act).answer()


def known(host, name):
    Session(host.token, name).start()


def unknown(host, name):
    pass


def behind(host, name):
    """Let a hook of the session wait in the inbox."""
    known(host, name)
    row = HookEvent.objects.get(session_id=name)
    HookEvent.objects.create(
        host=row.host,
        agent=row.agent,
        vendor=row.vendor,
        session_id=name,
        name="InstructionsLoaded",
        key=f"client:{name}-before:0",
        received_at=row.received_at,
        outcome="pending",
        payload={**row.payload, "hook_event_name": "InstructionsLoaded"},
    )


def lost_everywhere(host, prepare):
    """Lose the connection at every step of a hook, one after the other; return the steps and what was wrong."""
    places, found = [], []
    while True:
        name = f"s{len(places)}"
        prepare(host, name)
        session = Session(host.token, name)
        terminator, answer = lost_at(len(places), lambda session=session: session.prompt(key=session.session))
        if terminator.place is None:
            return places, found + broken()
        places.append(terminator.place)
        rows = rows_of(name).count()
        if not answer.is_good or rows != 1 or ends(agent_of(name)) != [("p1", "commanded", "")]:
            found.append(f"{terminator.place}: {answer.status} {answer.outcome}, {rows} rows")


@pytest.mark.parametrize(("prepare", "least"), [(known, 2), (unknown, 20), (behind, 10)])
def test_lost_at_every_step_nobody_hears_of_it_and_it_is_there_once(host, prepare, least):
    places, found = lost_everywhere(host, prepare)
    assert found == []
    assert len(places) >= least


def test_mutant_were_it_not_asked_again_the_client_would_hear_of_it(host):
    """It makes one attempt, and shows its user whatever else it is answered."""
    with replaced(views, "receive", intake._receive):
        _, found = lost_everywhere(host, known)
    assert any("503" in sentence for sentence in found), found


# -- inside a statement -------------------------------------------------------


def in_the_wait_for_the_lock(busy, host):
    busy.lock(LockKey(LockNamespace.AGENT, agent_of().pk))


def in_the_record(busy, host):
    """It holds the lock, and waits for the agent's row."""
    busy.hold_row("agents_agent", agent_of().pk)


def in_the_commit(busy, host):
    """Foreign keys are checked when it commits: then it waits for the host's row."""
    busy.do("SELECT FROM agents_host WHERE id = %s FOR UPDATE", [host.pk])


def ended_inside(host, where, hook):
    """End the backend while its statement waits, let the next one wait too; return what the client heard."""
    with third() as busy:
        where(busy, host)
        caller = Actor(hook)
        busy.wait_for_waiting(1)
        (backend,) = waiting()
        terminate(backend)
        busy.wait_for_waiting(1)
        busy.step_aside()
        return caller.answer()


@pytest.mark.parametrize("where", [in_the_wait_for_the_lock, in_the_record, in_the_commit])
def test_a_backend_that_ends_inside_a_statement_is_replaced_by_another(agent, host, where):
    assert ended_inside(host, where, agent.stop).outcome == "applied"
    assert ends(agent_of()) == [("p1", "complete", "completed")]
    assert broken() == []


def test_the_lock_of_a_writer_that_ends_goes_on_to_who_waits_and_what_it_wrote_is_gone(agent, apart):
    key = LockKey(LockNamespace.AGENT, agent_of().pk)
    with third() as writer:
        writer.lock(key).do("UPDATE agents_agent SET mode = 'stopped', version = version + 1")
        call = Actor(agent.pre, "t1")
        writer.wait_for_waiting(1)
        terminate(writer.pid)
        assert (call.answer().outcome, call.answer().denies) == ("applied", False)
    assert agent_of().mode == "run"
    assert broken() == []


def test_a_connection_that_was_lost_between_two_hooks_is_not_the_second_ones_fault(agent):
    terminate(connection.connection.info.backend_pid)
    assert agent.stop().outcome == "applied"
    assert ends(agent_of()) == [("p1", "complete", "completed")]
