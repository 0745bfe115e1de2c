"""X23: a call of an agent that is on hold is denied in every moment in which the hook path might not know that."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from agents import adoption, inbox, intake, refusals
from agents.cycles import drainer
from agents.judging import judge
from agents.models import Agent, HookEvent
from agents.states import Mode
from locks import Busy, LockKey, LockNamespace
from tests.races.hooks import Session
from tests.races.meeting import Actor, Point, passing, third
from tests.races.mutants import replaced, rewritten
from tests.races.truths import agent_of

SOON = timedelta(milliseconds=100)
PROCESS = (("X-Headspace-Process", "4711 1234 boot/1"),)


@pytest.fixture(autouse=True)
def _hasty(limits):
    limits(BUSY_AFTER=SOON)


def lock_of(agent):
    return LockKey(LockNamespace.AGENT, agent.pk)


def held(host, headers=()):
    """Return a session whose agent is on hold."""
    session = Session(host.token, "s1", headers=headers)
    session.start()
    session.prompt()
    Agent.objects.update(mode="hold")
    return session


# -- a new conversation of a busy agent ---------------------------------------


def call_of_a_conversation_without_an_agent(host):
    one = held(host, PROCESS)
    two = Session(host.token, "s2", "p2", headers=PROCESS)
    with third() as busy:
        busy.lock(lock_of(agent_of()))
        one.end("clear")
        two.start("clear")
        return two.pre("t1"), two.pre("t1")


def test_a_conversation_that_has_no_agent_yet_is_held_as_the_one_before_it(host, apart):
    call, repeat = call_of_a_conversation_without_an_agent(host)
    assert call.denies and repeat.denies


def test_a_conversation_whose_name_is_busy_is_held_as_its_process_is(host, apart):
    held(host, PROCESS)
    with third() as busy:
        busy.lock(LockKey(LockNamespace.SESSION, f"{host.pk}:claude-code:s2"))
        assert Session(host.token, "s2", "p2", headers=PROCESS).pre("t1").denies


def test_mutant_that_lets_who_has_no_agent_run_lets_it_pass(host, apart):
    with replaced(intake, "expected_mode", lambda delivery, host_id: Mode.RUN):
        assert not call_of_a_conversation_without_an_agent(host)[0].denies


def call_after_an_end_that_waits(host):
    one, two = held(host), Session(host.token, "s2", "p2")
    with third() as busy:
        busy.lock(lock_of(agent_of()))
        one.end("clear")
        two.start("clear")
    drainer.run_once(timezone.now())
    return two.pre("t1")


def test_a_conversation_does_not_escape_while_the_end_of_the_one_before_waits(host, apart):
    assert call_after_an_end_that_waits(host).denies


def test_mutant_that_inherits_no_mode_lets_it_escape(host, apart):
    with replaced(adoption, "_inherited_mode", lambda origin, host_id: Mode.RUN):
        assert not call_after_an_end_that_waits(host).denies


# -- answered twice -----------------------------------------------------------


def twin_of_a_call_that_is_being_stored(agent):
    """The first copy was let run and stands before its commit; then comes the hold, then the second copy."""
    pk, body = agent_of().pk, agent.payload("PreToolUse", tool_name="Bash", tool_use_id="t1", tool_input={})
    headers = {"Authorization": f"Bearer {agent.token}", "Idempotency-Key": "k1"}

    def send():
        return agent.send("/hooks/claude-code", json.dumps(body), headers)

    with third() as twin:
        twin.do(*what_would_be_stored(send))
        Agent.objects.filter(pk=pk).update(mode="hold")
        second = Actor(send)
        twin.wait_for_waiting(1)
        twin.step_aside()
        return second.answer()


def what_would_be_stored(send):
    """Return the statement that stores a hook, without carrying it out."""
    kept = []

    def keep(execute, sql, params, many, context):
        if "agents_store(" in sql:
            kept.append((sql, params))
            raise RuntimeError("kept")
        return execute(sql, params, many, context)

    def busy(*args):
        raise Busy("as it were")

    with replaced(intake, "_settle", busy), connection.execute_wrapper(keep):
        send()
    return kept[0]


def test_the_second_copy_of_a_call_is_denied_by_the_mode_of_now(agent, apart):
    assert twin_of_a_call_that_is_being_stored(agent).denies


def test_mutant_that_answers_a_repeat_without_its_agent_lets_it_pass(agent, apart):
    blind = [("agents_record", "first_answer),\n        'situation', agents_situation(the_agent));", "first_answer));")]
    with rewritten(blind), replaced(intake, "expected_mode", lambda delivery, host_id: Mode.RUN):
        assert not twin_of_a_call_that_is_being_stored(agent).denies


def call_stored_while_the_mode_changes(agent):
    """Return what a call and its repeat are answered; the hold comes between its look and its store, and goes again."""
    storing = Point("SELECT agents_store(")
    with third() as busy:
        busy.lock(lock_of(agent_of()))
        call = Actor(passing(storing, lambda: agent.pre("t1", key="k")))
        storing.wait()
        Agent.objects.update(mode="hold")
        storing.release()
        first = call.answer()
        Agent.objects.update(mode="run")
        return first, agent.pre("t1", key="k")


def test_the_journal_keeps_the_answer_that_was_given(agent, apart):
    first, again = call_stored_while_the_mode_changes(agent)
    assert first.denies and again.denies


def test_mutant_that_stores_an_answer_of_another_mode_lets_the_call_pass(agent, apart):
    with rewritten([("agents_store", "decided_on NOT IN (", "false AND decided_on NOT IN (")]):
        assert not call_stored_while_the_mode_changes(agent)[0].denies


# -- judged later -------------------------------------------------------------


def question_judged_in_another_mode(agent, asked_in, judged_in):
    """Ask a person something while the agent is busy, and apply it in another mode; return the agent's state."""
    Agent.objects.update(mode=asked_in)
    with third() as busy:
        busy.lock(lock_of(agent_of()))
        agent.ask("q1")
    Agent.objects.update(mode=judged_in)
    drainer.run_once(timezone.now())
    return agent_of().state


def test_a_call_that_waited_is_judged_by_what_its_client_was_told(agent, apart):
    assert question_judged_in_another_mode(agent, "hold", "run") == "processing"


def test_a_question_that_was_let_pass_is_asked_though_the_agent_is_held_by_now(agent, apart):
    assert question_judged_in_another_mode(agent, "run", "hold") == "awaiting_input"


def test_mutant_that_judges_by_the_mode_of_now_shows_a_question_that_nobody_sees(agent, apart):
    with replaced(inbox, "judge", lambda found, event, told: judge(found, event)):
        assert question_judged_in_another_mode(agent, "hold", "run") == "awaiting_input"


# -- calls that cannot be read ------------------------------------------------

TOO_DEEP = json.loads('{"a":' * 101 + "1" + "}" * 101)
UNREADABLE = {
    "deep": {"tool_input": TOO_DEEP},
    "long name": {"tool_name": "mcp__" + "x" * 200},
    "id of another type": {"agent_id": 7},
    "large": {"tool_input": {"content": "x" * (16 * 1024 * 1024)}},
}


def unreadable_call(agent, changes, **headers):
    body = agent.payload("PreToolUse", **{"tool_name": "Bash", "tool_use_id": "t1", "tool_input": {}} | changes)
    return agent.send("/hooks/claude-code", json.dumps(body), {"Authorization": f"Bearer {agent.token}", **headers})


@pytest.mark.parametrize("mode", ["hold", "read_only", "stopped"])
@pytest.mark.parametrize("changes", UNREADABLE.values(), ids=UNREADABLE)
def test_a_call_that_cannot_be_read_is_denied_and_journaled(agent, changes, mode):
    Agent.objects.update(mode=mode)
    answer = unreadable_call(agent, changes)
    assert answer.denies and answer.status == 200
    assert HookEvent.objects.latest("pk").outcome == "refused"


def test_a_call_with_a_header_that_cannot_be_meant_is_denied(agent):
    Agent.objects.update(mode="hold")
    assert unreadable_call(agent, {}, **{"X-Headspace-Sequence": "-1"}).denies


@pytest.mark.parametrize("changes", UNREADABLE.values(), ids=UNREADABLE)
def test_of_an_agent_that_nobody_restricted_it_is_an_error(host, agent, changes):
    other = Session(host.token, "s2", "p2")
    other.start()
    Agent.objects.filter(session_id="s2").update(mode="hold")
    assert unreadable_call(agent, changes).status in (400, 413)


def test_a_body_that_shows_no_session_is_denied_where_somebody_is_held(agent):
    Agent.objects.update(mode="hold")
    headers = {"Authorization": f"Bearer {agent.token}"}
    assert agent.send("/hook/pre-tool-use", "not JSON", headers).denies
    assert agent.send("/hook/stop", "not JSON", headers).status == 400


def test_mutant_without_a_denial_the_error_lets_it_run(agent):
    Agent.objects.update(mode="hold")
    with replaced(refusals, "denial", lambda *args: None):
        assert unreadable_call(agent, {"agent_id": 7}).status == 400
