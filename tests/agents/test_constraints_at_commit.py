"""What spans rows is looked at when the transaction ends: not sooner, and of two that meet the second one sees."""

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone

from agents import inbox
from agents.judgement import Judgement
from tests.agents.payload_files import payload
from tests.agents.rows import make_agent, make_command, make_event, make_wait
from tests.races.meeting import another_connection
from tests.races.mutants import replaced

END = "UPDATE agents_agent SET presence = 'ended', ended_at = now() WHERE id = %s"
COMPLETE = "UPDATE agents_command SET state = 'complete', outcome = 'completed', completed_at = now() WHERE id = %s"
CLOSE = "UPDATE agents_wait SET closed_at = now(), closed_by = 'finished' WHERE command_id = %s"
BEGIN = (
    "INSERT INTO agents_command (agent_id, generation, state, prompt, prompt_ids, summary, inferred, gaps, started_at, "
    "outcome, reason) VALUES (%s, 1, 'commanded', '', '{}', '', false, '{}', now(), '', '')"
)
ASK = (
    "INSERT INTO agents_wait (agent_id, command_id, asking, use_id, digest, subagent_id, tool_name, text, opened_at, "
    "closed_by) SELECT agent_id, id, 'plan', '', '', '', '', '', now(), '' FROM agents_command WHERE id = %s"
)


@pytest.fixture
def agent(transactional_db):
    """An agent in whose command a person is asked, all of it committed."""
    with transaction.atomic():
        agent = make_agent()
        make_wait(make_command(agent, "awaiting_input"))
    return agent


@pytest.fixture
def other():
    """Somebody who writes by hand, beside us, and is not patient."""
    with another_connection() as found:
        found.execute("SET lock_timeout = '100ms'")
        yield found


def write(*statements):
    """Execute statements with their parameter in one transaction of our own."""
    with transaction.atomic(), connection.cursor() as cursor:
        for sql, pk in statements:
            cursor.execute(sql, [pk])


def refusal_of(database, sql, pk):
    """Return what a transaction is refused for that does one thing and commits."""
    with pytest.raises(psycopg.Error) as refused:
        database.execute(sql, [pk])
    return refused.value.diag.constraint_name or refused.value.sqlstate


def test_an_agent_may_end_before_its_command_and_that_before_its_waits(agent):
    command = agent.open_command.pk
    write((END, agent.pk), (COMPLETE, command), (CLOSE, command))
    agent.refresh_from_db()
    assert (agent.presence, agent.state) == ("ended", "idle")


def test_a_command_that_is_asked_about_cannot_be_completed(agent, other):
    assert refusal_of(other, COMPLETE, agent.open_command.pk) == "moves_on_when_nobody_is_asked"


def test_a_command_cannot_be_given_to_another_agent(agent, other):
    with transaction.atomic():
        stranger = make_agent()
    refusal = refusal_of(
        other, f"UPDATE agents_command SET agent_id = {stranger.pk} WHERE id = %s", agent.open_command.pk
    )
    assert refusal.endswith("_command_is_its_agents")


def test_of_an_end_and_a_new_command_that_meet_one_is_refused(agent, other):
    command = agent.open_command.pk
    write((CLOSE, command), (COMPLETE, command))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(END, [agent.pk])
        assert refusal_of(other, BEGIN, agent.pk) == "55P03"  # it waits for the agent's row
    assert refusal_of(other, BEGIN, agent.pk) == "agent_is_there"


def test_of_a_question_and_a_completion_that_meet_one_is_refused(agent, other):
    command = agent.open_command.pk
    write((CLOSE, command))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(COMPLETE, [command])
        assert refusal_of(other, ASK, command) == "55P03"  # it waits for the command's row
    assert refusal_of(other, ASK, command) == "open_is_awaited"


def test_a_hook_whose_judgement_breaks_it_is_refused_and_holds_up_no_other(agent):
    body = payload("claude-code", "stop.json") | {"session_id": agent.session_id}
    broken = make_event(agent, outcome="pending", payload=body | {"prompt_id": ""})
    with replaced(Judgement, "close_waits", lambda *args: None), transaction.atomic():
        inbox.drain(agent.pk, timezone.now())
    broken.refresh_from_db()
    assert (broken.outcome, agent.state) == ("refused", "awaiting_input")
