"""Ten cases of concurrency, each by its name: hooks through the view, passes of the cycles, and the sections they use.

A test's mutant is the same scene without the guard. What belongs to one race alone is in its own file.
"""

from contextlib import closing, nullcontext
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from agents import record
from agents.cycles import passing, reaper
from agents.cycles.passing import go_over
from agents.models import Agent
from locks import LockReentered, advisory_lock_or_skip, fenced
from locks.dedicated import close_kept
from locks.sections import Sections
from tests.races.cases import (
    AGENT,
    AT_ONCE,
    GONE,
    LONG,
    ONCE,
    ORDERS,
    SCOPES,
    WAYS,
    N,
    by_killed_backend,
    completions,
    error_comes_out,
    free,
    hook_comes_before_the_judgement,
    hook_comes_while_it_is_judged,
    judge_by_the_list,
    key_of,
    locks_again,
    locks_of_a_hook_that_is_told_to_go,
    other_is_served_while_one_waits,
    pass_ends_at_the_second_of_three,
    pass_meets_a_hook_inside,
    presences,
    reap,
    section,
    twice_as_many_hooks_as_connections,
    two_at_once,
)
from tests.races.hooks import Session
from tests.races.mutants import (
    NO_AGENT_LOCK,
    NO_VERSION_CHECK,
    NOT_THE_TRANSACTIONS,
    one_lock_for_all,
    replaced,
    rewritten,
    without,
)
from tests.races.truths import agent_of, broken, locks_left, tools


@pytest.fixture
def patient(limits):
    """Hooks wait as long as it takes, and every agent is silent enough to be judged."""
    limits(BUSY_AFTER=LONG, SILENT_AFTER=AT_ONCE)


@pytest.fixture
def forgetful(monkeypatch):
    """The mutant: nobody remembers who is inside."""
    monkeypatch.setattr("locks.transactional.sections_of", lambda connection: Sections())


@pytest.fixture
def gone(host, patient):
    """Return a maker of agents whose process is gone: a pass ends them, unless they were heard."""

    def make(name="s1"):
        session = Session(host.token, name, headers=tuple(GONE.items()))
        session.start()
        session.prompt()
        return session

    return make


@pytest.fixture
def pool(patient, host):
    """Return a maker of Django's own connection pool, which all threads but this one then share."""
    usual = connections.settings["default"]

    def make(patience):
        options = usual["OPTIONS"] | {"pool": {"min_size": 0, "max_size": N, "timeout": patience}}
        connections.settings["default"] = usual | {"CONN_MAX_AGE": 0, "OPTIONS": options}

    yield make
    connections.create_connection("default").close_pool()
    connections.settings["default"] = usual


@pytest.fixture
def still_holding(monkeypatch):
    """The mutant: locks that do not go with the transaction, and sessions that do not give them back."""
    monkeypatch.setattr(fenced, "_RELEASE", "SELECT %s::bigint[] IS NOT NULL AND %s IS NOT NULL")
    with rewritten(NOT_THE_TRANSACTIONS):
        yield
    close_kept()
    connection.close()


def test_serialisation(agent, apart):
    """Serialisation: two hooks of one agent are applied one after the other, the second on what the first one left."""
    assert two_at_once(agent) == {"t1", "t2"}
    assert broken() == []


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, NO_AGENT_LOCK], ids=["version", "lock"])
def test_mutant_serialisation(agent, apart, guard):
    with rewritten(guard):
        assert two_at_once(agent) == {"t2"}


def test_different_agents(gone):
    """Different agents: a hook of one is applied while a hook of another one waits for its agent's lock."""
    assert other_is_served_while_one_waits(gone("s1"), gone("s2"))


def test_mutant_different_agents(gone):
    one, other = gone("s1"), gone("s2")
    with rewritten(one_lock_for_all(key_of(one))):
        assert not other_is_served_while_one_waits(one, other)


def test_hook_and_reaper_contention(gone):
    """Hook + reaper contention: a pass waits for no hook; one that came first saves its agent, a later one is late."""
    session = gone()
    assert pass_meets_a_hook_inside(session)
    assert hook_comes_before_the_judgement(session) == ["alive"]
    assert hook_comes_while_it_is_judged(session) == ("late", ["ended"])
    assert broken() == []


def test_mutant_hook_and_reaper_contention_without_the_skip(gone):
    with replaced(passing, "advisory_lock_or_skip", lambda *_: nullcontext(True)):
        assert not pass_meets_a_hook_inside(gone())


def test_mutant_hook_and_reaper_contention_judged_before_the_lock(gone):
    with replaced(reaper, "_judge", judge_by_the_list):
        assert hook_comes_before_the_judgement(gone()) == ["ended"]


def test_mutant_hook_and_reaper_contention_of_a_hook_that_decided_before(gone):
    with without("agents_command", "complete_is_terminal"), rewritten(NO_VERSION_CHECK):
        assert hook_comes_while_it_is_judged(gone()) == ("applied", ["alive"])


@pytest.mark.parametrize("order", ORDERS)
def test_deferred_stop_and_session_end(agent, apart, order):
    """Deferred stop + session end: one command is completed once, and neither of the two is lost.

    The stop that waits for its time is not built yet: here the stop hook itself meets the session's end.
    """
    assert completions(agent, order) == ONCE
    assert broken() == []


@pytest.mark.parametrize("order", ORDERS)
def test_mutant_deferred_stop_and_session_end(agent, apart, order):
    with rewritten(NO_VERSION_CHECK):
        assert completions(agent, order) != ONCE


def test_pool_exhaustion(host, pool):
    """Pool exhaustion: as many hooks wait as the pool has connections; all get through, because none needs a second."""
    pool(patience=60)
    assert twice_as_many_hooks_as_connections(host) == [204] * 2 * N
    assert [tools(agent) for agent in Agent.objects.all()] == [{"t1", "t2"}] * N


def test_mutant_pool_exhaustion(host, pool):
    pool(patience=1)
    write = record._record

    def with_a_connection_for_the_lock(*args):
        with closing(connections.create_connection("default")) as other:
            other.ensure_connection()
            return write(*args)

    with replaced(record, "_record", with_a_connection_for_the_lock):
        assert 503 in twice_as_many_hooks_as_connections(host)


def test_re_entry_detection(agent, caplog):
    """Re-entry detection: who is inside and asks again is told so at once, by name, and its transaction goes on."""
    found = agent_of()
    report = go_over("again", [found.pk], locks_again, timezone.now())
    assert (report.failed, report.done) == (1, {})
    assert f"AGENT {found.pk} is already entered" in caplog.text
    with section("session", found.pk), transaction.atomic():
        with pytest.raises(LockReentered):
            Agent.objects.locked(found.pk)
        assert Agent.objects.filter(pk=found.pk).update(cwd="elsewhere") == 1
    assert agent_of().cwd == "elsewhere"


def test_mutant_re_entry_detection(agent, forgetful):
    assert go_over("again", [agent_of().pk], locks_again, timezone.now()).done == {"entered twice": 1}


def test_per_iteration_commit(gone, limits):
    """Per-iteration commit: a pass commits and lets go agent by agent; what it did before it crashed stays done."""
    sessions = [gone(name) for name in ("s1", "s2", "s3")]
    limits(BUSY_AFTER=timedelta(milliseconds=50))
    seen, heard, left = pass_ends_at_the_second_of_three(sessions, reap)
    assert seen == ["ended", "alive", "alive"]
    assert heard == ["late", "applied"]
    assert left == seen
    assert not locks_left()
    assert reap().done == {"ended": 2}


def test_mutant_per_iteration_commit(gone, limits):
    sessions = [gone(name) for name in ("s1", "s2", "s3")]
    limits(BUSY_AFTER=timedelta(milliseconds=50))
    seen, heard, left = pass_ends_at_the_second_of_three(sessions, transaction.atomic(reap))
    assert seen == ["alive", "alive", "alive"] == left
    assert heard == ["pending", "applied"]


@pytest.mark.parametrize("scope", SCOPES)
def test_exception_in_the_body(gone, scope):
    """Exception in the body: it is the caller's, what was written goes with it, nothing stays locked, others go on."""
    assert error_comes_out(scope) == (True, True)
    first, second = (agent_of(gone(name).session).pk for name in ("s1", "s2"))

    def writes_then_fails_at_the_first(agent_id, now):
        Agent.objects.filter(pk=agent_id).update(cwd="elsewhere")
        return "written" if agent_id == second else 1 / 0

    report = go_over("fails", [first, second], writes_then_fails_at_the_first, timezone.now())
    assert (report.failed, report.done) == (1, {"written": 1})
    assert (Agent.objects.get(pk=first).cwd, Agent.objects.get(pk=second).cwd) == ("/home/dev/project", "elsewhere")
    assert not locks_left()


@pytest.mark.parametrize("scope", SCOPES)
def test_mutant_exception_in_the_body(host, scope, still_holding):
    assert error_comes_out(scope) == (True, False)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("way", WAYS)
def test_unconditional_unlock(host, way, scope):
    """Unconditional unlock: whatever the way out of a section, nothing stays locked, and it can be entered again."""
    way(section(scope))
    assert not locks_left()
    with section(scope):
        assert not free()


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("way", [way for way in WAYS if way is not by_killed_backend])
def test_mutant_unconditional_unlock(host, way, scope, still_holding):
    way(section(scope))
    assert not free()


def test_unconditional_unlock_of_a_hook_whose_process_is_told_to_go(host, patient):
    """Unconditional unlock: a session's first hook has two locks, and gives both back when its process ends there."""
    session = Session(host.token)
    assert locks_of_a_hook_that_is_told_to_go(session) == {"SESSION", "AGENT"}
    assert not locks_left()
    assert session.start().outcome == "applied"


@pytest.mark.parametrize("scope", SCOPES)
def test_skip_re_entry(gone, scope):
    """Skip re-entry: inside of an agent's own section a pass skips the agent, and never works as if it had the lock."""
    pk = agent_of(gone().session).pk
    with section(scope, pk):
        report = reap()
        assert (report.skipped, report.judged, report.failed, report.done) == (1, 0, 0, {})
        with transaction.atomic(), advisory_lock_or_skip(AGENT, pk) as entered:
            assert entered is False
    assert presences() == ["alive"]
    assert reap().done == {"ended": 1}


def test_mutant_skip_re_entry(gone, forgetful):
    with section("transaction", agent_of(gone().session).pk):
        assert reap().done == {"ended": 1}
