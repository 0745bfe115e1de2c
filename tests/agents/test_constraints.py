"""Every constraint and trigger of the agents' rows, violated in SQL: the database refuses, whoever writes."""

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from tests.agents.rows import (
    before,
    make_agent,
    make_change,
    make_command,
    make_ended_agent,
    make_event,
    make_host,
    make_project,
    make_turn,
    make_wait,
)

pytestmark = pytest.mark.django_db

SECOND_COMMAND = (
    "INSERT INTO agents_command (agent_id, generation, state, prompt, prompt_ids, summary, inferred, gaps, started_at, "
    "completed_at, outcome, reason) SELECT agent_id, generation, state, prompt, prompt_ids, summary, inferred, gaps, "
    "started_at, completed_at, outcome, reason FROM agents_command WHERE id = %(command)s"
)
SECOND_SESSION = (
    "INSERT INTO agents_agentsession (agent_id, host_id, vendor, session_id, started_at, end_reason, end_prompt_id) "
    "SELECT agent_id, host_id, vendor, {session}, started_at, '', '' FROM agents_agentsession "
    "WHERE agent_id = %(agent)s"
)
WAIT_COLUMNS = "agent_id, command_id, asking, use_id, digest, subagent_id, tool_name, text, opened_at, closed_by"
SECOND_WAIT = f"INSERT INTO agents_wait ({WAIT_COLUMNS}) SELECT {WAIT_COLUMNS} FROM agents_wait WHERE id = %(wait)s"
CHANGE = (
    "INSERT INTO agents_statechange (agent_id, command_id, before, after, trigger, reason, version, changed_at) "
    "VALUES ({agent}, %(command)s, {before}, {after}, 'progress', '', 1, now())"
)

CONSTRAINTS = {
    "agents_host_name_key": "UPDATE agents_host SET name = 'laptop' WHERE id = %(other_host)s",
    "agents_host_token_digest_key": (
        "UPDATE agents_host SET token_digest = (SELECT token_digest FROM agents_host WHERE id = %(host)s) "
        "WHERE id = %(other_host)s"
    ),
    "host_token_is_a_digest": "UPDATE agents_host SET token_digest = 'hs_secret' WHERE id = %(host)s",
    "host_revoked_after_created": (
        "UPDATE agents_host SET revoked_at = created_at - interval '1 second' WHERE id = %(host)s"
    ),
    "project_one_per_host_and_root": (
        "UPDATE agents_project SET root = (SELECT root FROM agents_project WHERE id = %(project)s) "
        "WHERE id = %(other_project)s"
    ),
    "agent_presence_known": "UPDATE agents_agent SET presence = 'asleep' WHERE id = %(agent)s",
    "agent_mode_known": "UPDATE agents_agent SET mode = 'fast' WHERE id = %(agent)s",
    "agent_ended_has_its_time": "UPDATE agents_agent SET presence = 'ended' WHERE id = %(agent)s",
    "agent_ended_after_start": (
        "UPDATE agents_agent SET ended_at = started_at - interval '1 second' WHERE id = %(ended_agent)s"
    ),
    "agent_seen_after_start": (
        "UPDATE agents_agent SET last_seen_at = started_at - interval '1 second' WHERE id = %(agent)s"
    ),
    "agent_generation_counts_from_one": "UPDATE agents_agent SET generation = 0 WHERE id = %(agent)s",
    "agent_is_not_its_own_parent": "UPDATE agents_agent SET parent_id = id WHERE id = %(agent)s",
    "agent_ambiguous_says_why": "UPDATE agents_agent SET ambiguous = '' WHERE id = %(agent)s",
    "session_has_one_agent": (
        "UPDATE agents_agentsession SET session_id = (SELECT session_id FROM agents_agentsession "
        "WHERE agent_id = %(agent)s) WHERE agent_id = %(other_agent)s"
    ),
    "agent_session_is_its_own": "UPDATE agents_agent SET session_id = 'another' WHERE id = %(agent)s",
    "session_once_per_agent": (
        "INSERT INTO agents_agentsession "
        "(agent_id, host_id, vendor, session_id, started_at, ended_at, end_reason, end_prompt_id) "
        "SELECT agent_id, host_id, 'codex', session_id, started_at, started_at, '', '' FROM agents_agentsession "
        "WHERE agent_id = %(agent)s"
    ),
    "session_one_live_per_agent": SECOND_SESSION.format(session="'another'"),
    "session_ended_after_start": (
        "UPDATE agents_agentsession SET ended_at = started_at - interval '1 second' WHERE agent_id = %(agent)s"
    ),
    "command_one_open_per_agent": SECOND_COMMAND,
    "command_state_known": "UPDATE agents_command SET state = 'idle' WHERE id = %(command)s",
    "command_complete_has_its_time": (
        "UPDATE agents_command SET state = 'complete', outcome = 'completed' WHERE id = %(command)s"
    ),
    "command_complete_has_an_outcome": (
        "UPDATE agents_command SET state = 'complete', completed_at = started_at WHERE id = %(command)s"
    ),
    "command_completed_after_start": (
        "UPDATE agents_command SET state = 'complete', outcome = 'completed', "
        "completed_at = started_at - interval '1 second' WHERE id = %(command)s"
    ),
    "turn_command_is_its_agents": (
        "INSERT INTO agents_turn (agent_id, command_id, actor, intent, text, summary, said_at) "
        "VALUES (%(other_agent)s, %(command)s, 'user', 'command', '', '', now())"
    ),
    "turn_one_per_transcript_entry": (
        "INSERT INTO agents_turn (agent_id, command_id, actor, intent, text, entry_id, summary, said_at) "
        "SELECT agent_id, command_id, actor, intent, text, entry_id, summary, said_at FROM agents_turn "
        "WHERE id = %(turn)s"
    ),
    "turn_actor_known": (
        "INSERT INTO agents_turn (agent_id, command_id, actor, intent, text, summary, said_at) "
        "VALUES (%(agent)s, %(command)s, 'tool', 'command', '', '', now())"
    ),
    "turn_intent_known": (
        "INSERT INTO agents_turn (agent_id, command_id, actor, intent, text, summary, said_at) "
        "VALUES (%(agent)s, %(command)s, 'user', 'joke', '', '', now())"
    ),
    "wait_command_is_its_agents": "UPDATE agents_wait SET agent_id = %(other_agent)s WHERE id = %(wait)s",
    "wait_one_open_per_call": SECOND_WAIT,
    "wait_asking_known": "UPDATE agents_wait SET asking = 'money' WHERE id = %(wait)s",
    "wait_closed_after_opened": (
        "UPDATE agents_wait SET closed_at = opened_at - interval '1 second', closed_by = 'finished' WHERE id = %(wait)s"
    ),
    "wait_closed_says_by_what": "UPDATE agents_wait SET closed_at = now() WHERE id = %(wait)s",
    "event_one_row_per_key": (
        "INSERT INTO agents_hookevent (host_id, vendor, session_id, name, key, headers, received_at, outcome, payload, "
        "size, truncated) SELECT host_id, vendor, session_id, name, key, headers, received_at, outcome, payload, size, "
        "truncated FROM agents_hookevent WHERE id = %(pending_event)s"
    ),
    "event_outcome_known": "UPDATE agents_hookevent SET outcome = 'lost' WHERE id = %(pending_event)s",
    "event_pending_is_not_applied": "UPDATE agents_hookevent SET applied_at = now() WHERE id = %(pending_event)s",
    "change_command_is_its_agents": CHANGE.format(agent="%(other_agent)s", before="'idle'", after="'commanded'"),
    "change_before_known": CHANGE.format(agent="%(agent)s", before="'asleep'", after="'commanded'"),
    "change_after_known": CHANGE.format(agent="%(agent)s", before="'idle'", after="'asleep'"),
    "change_changes_something": CHANGE.format(agent="%(agent)s", before="'idle'", after="'idle'"),
}

# Whatever would violate it violates the primary key first; foreign keys of two columns refer to it.
IMPLIED = {"command_has_one_agent"}

TRIGGERS = {
    "agents_command.complete_is_terminal": (
        "UPDATE agents_command SET state = 'processing', completed_at = NULL, outcome = '' WHERE id = %(past_command)s"
    ),
    "agents_turn.never_emptied": "TRUNCATE agents_turn",
    "agents_turn.append_only": "DELETE FROM agents_turn WHERE id = %(turn)s",
    "agents_turn.said_is_said": "UPDATE agents_turn SET text = 'never said' WHERE id = %(turn)s",
    "agents_wait.closed_is_terminal": (
        "UPDATE agents_wait SET closed_at = NULL, closed_by = '' WHERE id = %(past_wait)s"
    ),
    "agents_hookevent.never_emptied": "TRUNCATE agents_hookevent CASCADE",
    "agents_hookevent.append_only": "DELETE FROM agents_hookevent WHERE id = %(event)s",
    "agents_hookevent.heard_is_heard": "UPDATE agents_hookevent SET payload = '{}' WHERE id = %(pending_event)s",
    "agents_hookevent.applied_once": "UPDATE agents_hookevent SET outcome = 'late' WHERE id = %(event)s",
    "agents_statechange.never_emptied": "TRUNCATE agents_statechange",
    "agents_statechange.append_only": "UPDATE agents_statechange SET reason = 'other' WHERE id = %(change)s",
}

# Each is looked at when the transaction ends.
AT_COMMIT = {
    "agents_agent.ended_leaves_nothing_open": (
        "UPDATE agents_agent SET presence = 'ended', ended_at = now() WHERE id = %(agent)s"
    ),
    "agents_command.agent_is_there": (
        "INSERT INTO agents_command (agent_id, generation, state, prompt, prompt_ids, summary, inferred, gaps, "
        "started_at, outcome, reason) "
        "VALUES (%(ended_agent)s, 1, 'commanded', '', '{}', '', false, '{}', now(), '', '')"
    ),
    "agents_command.moves_on_when_nobody_is_asked": (
        "UPDATE agents_command SET state = 'processing' WHERE id = %(command)s"
    ),
    "agents_wait.open_is_awaited": (
        f"INSERT INTO agents_wait ({WAIT_COLUMNS}) "
        "VALUES (%(agent)s, %(past_command)s, 'plan', '', '', '', '', '', now(), '')"
    ),
}


@pytest.fixture
def ids():
    """Return the primary keys of one row of each kind, and of some others."""
    host, other_host = make_host("laptop"), make_host("tower")
    agent = make_agent("web")
    command, past_command = make_command(agent, "awaiting_input"), make_command(agent, "complete")
    event = make_event(agent)
    rows = {
        "host": host,
        "other_host": other_host,
        "project": agent.project,
        "other_project": make_project("api"),
        "agent": agent,
        "other_agent": make_agent("api"),
        "ended_agent": make_ended_agent(),
        "command": command,
        "past_command": past_command,
        "turn": make_turn(command, entry_id="entry-1"),
        "wait": make_wait(command, use_id="toolu_1"),
        "past_wait": make_wait(past_command, closed_at=before(minutes=1), closed_by="finished"),
        "event": event,
        "pending_event": make_event(agent, outcome="pending"),
        "change": make_change(agent, event=event),
    }
    connection.check_constraints()
    return {name: row.pk for name, row in rows.items()}


def refusal_of(sql, ids):
    with pytest.raises(DatabaseError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, ids)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as a commit does
    return refused.value.__cause__.diag


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint_is_named_by_the_refusal(name, ids):
    assert refusal_of(CONSTRAINTS[name], ids).constraint_name == name


@pytest.mark.parametrize("name", TRIGGERS)
def test_trigger_is_named_by_the_refusal(name, ids):
    table, trigger = name.split(".")
    refusal = refusal_of(TRIGGERS[name], ids)
    assert f"rows from {table} table" in refusal.message_primary
    assert f"pgtrigger_{trigger}_" in refusal.context


@pytest.mark.parametrize("name", AT_COMMIT)
def test_trigger_at_commit_is_named_by_the_refusal(name, ids):
    refusal = refusal_of(AT_COMMIT[name], ids)
    assert f"{refusal.table_name}.{refusal.constraint_name}" == name


def test_changes_cannot_be_deleted(ids):
    refusal = refusal_of("DELETE FROM agents_statechange WHERE id = %(change)s", ids)
    assert "pgtrigger_append_only_" in refusal.context


@pytest.mark.parametrize("column", ["host_id", "vendor", "session_id", "name", "key", "received_at"])
def test_nothing_of_what_was_heard_can_be_rewritten(column, ids):
    sql = f"UPDATE agents_hookevent SET {column} = {column} WHERE id = %(pending_event)s"
    assert "pgtrigger_heard_is_heard_" in refusal_of(sql, ids).context


@pytest.mark.parametrize("column", ["agent_id", "command_id", "actor", "intent", "said_at"])
def test_nothing_of_what_was_said_can_be_rewritten(column, ids):
    assert "said_is_said" in refusal_of(f"UPDATE agents_turn SET {column} = {column} WHERE id = %(turn)s", ids).context


def test_a_pending_event_can_be_applied_and_a_turn_summarised(ids):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE agents_hookevent SET outcome = 'applied', applied_at = now() WHERE id = %(pending_event)s", ids
        )
        cursor.execute("UPDATE agents_turn SET summary = 'It was fixed' WHERE id = %(turn)s", ids)
        assert cursor.rowcount == 1


def test_an_agent_may_have_a_new_session_after_the_last_has_ended(ids):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE agents_agentsession SET ended_at = now() WHERE agent_id = %(agent)s", ids)
        cursor.execute(SECOND_SESSION.format(session="'another'"), ids)
        assert cursor.rowcount == 1


def test_every_constraint_of_the_models_is_violated_here():
    declared = {constraint.name for model in models() for constraint in model._meta.constraints}
    declared |= {f"{model._meta.db_table}_{column}_key" for model in models() for column in unique_columns(model)}
    assert declared == set(CONSTRAINTS) | IMPLIED


def unique_columns(model):
    return [field.column for field in model._meta.local_fields if field.unique and not field.primary_key]


def test_every_trigger_of_the_models_is_violated_here():
    declared = {
        f"{model._meta.db_table}.{trigger.name}"
        for model in models()
        for trigger in getattr(model._meta, "triggers", ())
    }
    assert declared == set(TRIGGERS) | set(AT_COMMIT)


def models():
    return list(apps.get_app_config("agents").get_models())
