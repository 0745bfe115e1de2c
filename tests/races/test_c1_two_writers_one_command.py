"""C1: two writers read the same command state and both decide on it: one wins by the table, the other is judged again.

Deciding happens before the lock, so four guards stand between two writers: the version check, the lock around check and
write, and, should they be missing, a trigger and a unique index.
"""

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from django.utils import timezone

from agents.announce import process_place
from agents.cycles import reaper
from tests.races.hooks import Session
from tests.races.meeting import another_connection, meet
from tests.races.mutants import NO_AGENT_LOCK, NO_VERSION_CHECK, rewritten, without
from tests.races.truths import agent_of, broken, ends, said

TERMINAL = ("agents_command", "complete_is_terminal")
ONE_OPEN = ("agents_command", "command_one_open_per_agent")
ASKED_NO_MORE = ("agents_command", "moves_on_when_nobody_is_asked")


def stop(session):
    return session.stop()


def end(session):
    return session.end()


def question(session):
    return session.ask("t1")


def next_prompt(session):
    return replace(session, prompt_id="p2").prompt("Next.")


def other_prompt(session):
    return replace(session, prompt_id="p3").prompt("No, this.")


DONE = ("p1", "complete", "completed")
CUT = ("p1", "complete", "interrupted")
ENDS = {
    (stop, next_prompt): [DONE, ("p2", "commanded", "")],
    (next_prompt, stop): [DONE, ("p2", "commanded", "")],
    (stop, end): [DONE],
    (end, stop): [DONE],
    (question, stop): [DONE],
    (stop, question): [DONE],
    (next_prompt, other_prompt): [CUT, ("p2", "complete", "interrupted"), ("p3", "commanded", "")],
    (other_prompt, next_prompt): [CUT, ("p3", "complete", "interrupted"), ("p2", "commanded", "")],
}
"""Who writes first, who second: how the commands end. A stop that is heard late still tells how its command ended."""


def what_broke(first, second, *sessions):
    """Return what is wrong when both have written; each in a session's hands of its own, if there are two."""
    heard = meet(agent_of().pk, lambda: first(sessions[0]), lambda: second(sessions[-1]))
    agent = agent_of()
    found = [f"{answer.status} answered" for answer in heard if not answer.is_good] + broken()
    if ends(agent) != ENDS[first, second]:
        found.append(f"the commands ended as {ends(agent)}")
    if agent.waits.filter(closed_at=None).exclude(command__state="awaiting_input").exists():
        found.append("a question is open in a command that does not wait")
    return found


def named(case):
    return " then ".join(act.__name__ for act in case) if isinstance(case, tuple) else None


@pytest.mark.parametrize("pair", ENDS, ids=named)
def test_who_comes_second_is_judged_again_on_what_the_first_one_left(agent, apart, pair):
    assert what_broke(*pair, agent) == []
    assert len(said(agent_of())) == len(set(said(agent_of())))


@pytest.mark.parametrize("pair", [(stop, next_prompt), (next_prompt, stop)], ids=named)
def test_two_web_processes_do_the_same(host, webs, pair):
    sessions = [Session(host.token, send=web.post) for web in webs]
    sessions[0].start()
    sessions[0].prompt()
    assert what_broke(*pair, *sessions) == []


LOST = "the commands ended as"
MOVED = "moved from commanded when it was complete"
MUTANTS = [
    # Without one of the two, a stop that was written is written over.
    (NO_VERSION_CHECK, [], (stop, next_prompt), LOST),
    (NO_VERSION_CHECK, [], (stop, end), LOST),
    (NO_VERSION_CHECK, [], (next_prompt, stop), MOVED),
    (NO_VERSION_CHECK, [], (end, stop), MOVED),
    (NO_VERSION_CHECK, [ASKED_NO_MORE], (question, stop), "a question is open in a command that does not wait"),
    (NO_AGENT_LOCK, [], (stop, next_prompt), LOST),
    (NO_AGENT_LOCK, [], (stop, end), LOST),
    (NO_AGENT_LOCK, [], (next_prompt, stop), "two hooks made version"),
    (NO_AGENT_LOCK, [], (end, stop), MOVED),
    # Without the trigger as well, what is over begins again; without the index, an agent does two things at once.
    (NO_VERSION_CHECK, [TERMINAL], (stop, question), "('p1', 'awaiting_input', '')"),
    (NO_AGENT_LOCK, [TERMINAL], (stop, question), "('p1', 'awaiting_input', '')"),
    (NO_VERSION_CHECK, [ONE_OPEN], (next_prompt, other_prompt), "two commands are open"),
    (NO_AGENT_LOCK, [ONE_OPEN], (other_prompt, next_prompt), "two commands are open"),
]


@pytest.mark.parametrize(("guard", "constraints", "pair", "seen"), MUTANTS)
def test_mutant_without_a_guard_one_writer_undoes_the_other(agent, apart, guard, constraints, pair, seen):
    with ExitStack() as off:
        for constraint in constraints:
            off.enter_context(without(*constraint))
        off.enter_context(rewritten(guard))
        found = what_broke(*pair, agent)
    assert any(seen in sentence for sentence in found), found


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, NO_AGENT_LOCK], ids=["version", "lock"])
@pytest.mark.parametrize("pair", [(next_prompt, other_prompt), (stop, question)], ids=["index", "trigger"])
def test_the_last_guard_alone_sends_the_second_one_back_to_be_judged_again(agent, apart, guard, pair):
    with rewritten(guard):
        assert what_broke(*pair, agent) == []


def test_a_hook_that_meets_the_reaper_is_judged_on_what_the_reaper_left(host, apart, limits):
    assert reaped_then_stopped(host, limits) == []


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, NO_AGENT_LOCK], ids=["version", "lock"])
def test_mutant_a_hook_that_decided_before_the_reaper_makes_the_agent_live_again(host, apart, limits, guard):
    with rewritten(guard):
        assert "alive" in reaped_then_stopped(host, limits)


def reaped_then_stopped(host, limits):
    """Let the reaper end an agent whose process is gone while its last stop is on the way; return what is wrong."""
    limits(SILENT_AFTER=timedelta(microseconds=1))
    process = {"X-Headspace-Process": f"999999999 1 {process_place()}"}
    session = Session(host.token, headers=tuple(process.items()))
    session.start()
    session.prompt()
    report, answer = meet(agent_of().pk, lambda: reaper.run_once(timezone.now()), session.stop)
    assert report.done == {"ended": 1}
    agent = agent_of()
    found = broken() + ([] if answer.is_good else [f"{answer.status} answered"])
    found += [] if agent.presence == "ended" else [agent.presence]
    return found + ([] if ends(agent) == [DONE] else [f"the commands ended as {ends(agent)}"])


def write_past_the_lock():
    """Do what no code of ours may do: set a command back that is over, with no lock and no version."""
    with another_connection() as anybody:
        anybody.execute("UPDATE agents_command SET state = 'processing', completed_at = NULL, outcome = ''")


def test_a_writer_that_takes_no_lock_cannot_reopen_what_is_over(agent):
    agent.stop()
    with pytest.raises(psycopg.errors.RaiseException, match="Cannot update rows"):
        write_past_the_lock()
    assert ends(agent_of()) == [DONE]


def test_mutant_without_the_trigger_it_can(agent):
    agent.stop()
    with without(*TERMINAL):
        write_past_the_lock()
        assert ends(agent_of()) == [("p1", "processing", "")]
        assert broken() != []
