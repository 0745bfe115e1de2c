"""The scenes of the ten cases: who meets whom, and what is asked afterwards."""

import sys
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from agents.announce import process_place
from agents.cycles import reaper
from agents.models import Agent
from agents.record import read_situation
from agents.snapshots import situation_of
from agents.transitions import lost
from locks import LockKey, LockLost, LockNamespace, advisory_lock
from locks.asks import ASK
from locks.monitor import snapshot
from tests.races.hooks import RECORD, Session
from tests.races.meeting import Actor, Point, another_connection, answers, meet, passing, third, wait_until, waiting
from tests.races.truths import agent_of, ends, tools

AGENT = LockNamespace.AGENT
LONG, AT_ONCE = timedelta(seconds=60), timedelta(microseconds=1)
GONE = {"X-Headspace-Process": f"999999999 1 {process_place()}"}
SCOPES = ["transaction", "session"]
ORDERS = [("stop", "end"), ("end", "stop")]
ONCE = (1, [("p1", "complete", "completed")], "ended")
N = 3


@contextmanager
def section(scope, key=42):
    around = transaction.atomic() if scope == "transaction" else nullcontext()
    with around, advisory_lock(AGENT, key, scope=scope) as lock:
        yield lock


def key_of(session):
    return LockKey(AGENT, agent_of(session.session).pk)


def presences():
    return list(Agent.objects.order_by("pk").values_list("presence", flat=True))


def reap():
    return reaper.run_once(timezone.now())


def free(key=42):
    """Say whether somebody else would be let in."""
    with another_connection() as other:
        sql = "SELECT pg_try_advisory_xact_lock(%s::bigint)"
        return other.execute(sql, [str(LockKey(AGENT, key).id)]).fetchone()[0]


def two_at_once(session):
    meet(agent_of().pk, lambda: session.pre("t1"), lambda: session.pre("t2"))
    return tools(agent_of())


def other_is_served_while_one_waits(one, other):
    with third() as busy:
        busy.lock(key_of(one))
        waits = Actor(one.pre, "t1")
        busy.wait_for_waiting(1)
        served = Actor(other.pre, "t1")
        wait_until(lambda: served.is_done or len(waiting()) == 2)
        is_served = served.is_done and not waits.is_done
        busy.step_aside()
        assert {answer.outcome for answer in answers([waits, served])} == {"applied"}
    return is_served


def pass_meets_a_hook_inside(session):
    """Let a pass come to an agent while a hook is in the middle of its record; say whether it skipped it."""
    with third() as busy:
        busy.hold_row("agents_agent", agent_of().pk)
        hook = Actor(session.pre, "t1")
        busy.wait_for_waiting(1)
        comes = Actor(reap)
        wait_until(lambda: comes.is_done or len(waiting()) == 2)
        has_skipped = comes.is_done and comes.answer().skipped == 1
        busy.step_aside()
    assert (hook.answer().outcome, presences()) == ("applied", ["alive"])
    comes.answer()
    return has_skipped


def hook_comes_before_the_judgement(session):
    """Let a hook be applied after a pass has listed its agent, and before it has the lock; return what is left."""
    judging = Point(ASK.partition(",")[0])
    comes = Actor(passing(judging, reap))
    judging.wait()
    assert session.pre("t2").outcome == "applied"
    judging.release()
    comes.answer()
    return presences()


def hook_comes_while_it_is_judged(session):
    """Let a hook wait for the lock while a pass ends its agent under it; return what became of both."""
    writing = Point(RECORD)
    comes = Actor(passing(writing, reap))
    writing.wait()
    hook = Actor(session.pre, "t3")
    wait_until(lambda: len(waiting()) == 1)
    writing.release()
    assert comes.answer().done == {"ended": 1}
    return hook.answer().outcome, presences()


def judge_by_the_list(agent_id, now):
    """End who was silent when the pass began."""
    return reaper._write(found := read_situation(agent_id), lost(situation_of(found), "gone"), now, "ended")


def completions(session, order):
    """Let the stop and the end of one command meet; return how often it was completed, and how it ended."""
    meet(agent_of().pk, *[getattr(session, name) for name in order])
    agent = agent_of()
    return agent.changes.filter(after="complete").count(), ends(agent), agent.presence


def twice_as_many_hooks_as_connections(host):
    """Let N hooks of N agents wait for their locks, each with one of N connections, and N more come behind them."""
    sessions = [Session(host.token, f"s{number}") for number in range(N)]
    for session in sessions:
        session.start()
    with third() as busy:
        for session in sessions:
            busy.lock(key_of(session))
        first = [Actor(session.pre, "t1") for session in sessions]
        wait_until(lambda: len(waiting()) + sum(actor.is_done for actor in first) >= N)
        behind = [Actor(session.pre, "t2") for session in sessions]
        busy.step_aside()
        return [answer.status for answer in answers([*first, *behind])]


def locks_again(agent_id, now):
    """A pass that takes, inside of an agent's section, the agent's lock again."""
    return "entered twice" if Agent.objects.locked(agent_id) else ""


class Crash(Point):
    """A place at which the process is told to go."""

    def __call__(self, execute, *statement):
        return super().__call__(
            lambda *given: sys.exit("told to go") if self.is_reached else execute(*given), *statement
        )


def pass_ends_at_the_second_of_three(sessions, run_once):
    """Stop a pass at its second agent, send hooks of the first and third, end it; return what was so then and after."""
    second = Crash(RECORD, nth=2)
    comes = Actor(passing(second, run_once))
    second.wait()
    seen = presences()
    heard = [session.pre("t1").outcome for session in (sessions[0], sessions[2])]
    second.release()
    with pytest.raises(SystemExit):
        comes.answer()
    return seen, heard, presences()


def error_comes_out(scope):
    """Raise inside of a section; say whether that error came out, and whether the section is free then."""
    error, caught = ValueError("from the body"), None
    try:
        with section(scope):
            raise error
    except Exception as raised:
        caught = raised
    return caught is error, free()


def by_exception(entered):
    with suppress(ZeroDivisionError), entered:
        1 / 0  # noqa: B018


def by_return(entered):
    def returning():
        with entered:
            return 1

    assert returning()


def by_generator_exit(entered):
    def yielding():
        with entered:
            yield 1

    made = yielding()
    next(made)
    made.close()


def by_system_exit(entered):
    with suppress(SystemExit), entered:
        sys.exit()


def by_cancelled_statement(entered):
    with suppress(DatabaseError), entered, connection.cursor() as cursor:
        cursor.execute("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)")


def by_killed_backend(entered):
    with suppress(DatabaseError, LockLost), entered as lock, another_connection() as killer:
        raw = getattr(lock, "raw", connection.connection)
        assert killer.execute("SELECT pg_terminate_backend(%s, 30000)", [raw.info.backend_pid]).fetchone()[0]


def locks_of_a_hook_that_is_told_to_go(session):
    """Let the process of a session's first hook end inside of its sections; return the namespaces it had locked."""
    ending = Crash("SELECT agents_situation(")
    hook = Actor(passing(ending, session.start))
    ending.wait()
    held = {lock.namespace for lock in snapshot().locks}
    ending.release()
    with pytest.raises(SystemExit):
        hook.answer()
    return held


WAYS = [by_exception, by_return, by_generator_exit, by_system_exit, by_cancelled_statement, by_killed_backend]
