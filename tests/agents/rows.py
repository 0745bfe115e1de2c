"""Makes rows for tests of what is read; whatever a test does not care about has a value already."""

import itertools
from datetime import UTC, datetime, timedelta

from django.db import transaction

from agents.hosts import token_digest
from agents.models import Agent, AgentSession, Command, HookEvent, Host, Project, StateChange, Turn, Wait

_numbers = itertools.count(1)


def before(**span):
    """Return an instant so long ago."""
    return datetime.now(UTC) - timedelta(**span)


def make_host(name="", **fields):
    name = name or f"host-{next(_numbers)}"
    kept = {"token_digest": token_digest(name), "token_hint": "hs_abcde", "created_at": before(days=9)}
    return Host.objects.get_or_create(name=name, defaults=kept | fields)[0]


def make_project(name="web", host=None):
    host = host or make_host("laptop")
    return Project.objects.get_or_create(
        host=host, root=f"/home/ada/{name}", defaults={"name": name, "created_at": before(days=9)}
    )[0]


@transaction.atomic
def make_agent(project="web", host=None, **fields):
    """Return an agent with its session; ``last_seen_at`` is just now."""
    project = make_project(project, host)
    session_id = fields.setdefault("session_id", f"session-{next(_numbers)}")
    values = {"vendor": "claude-code", "started_at": before(hours=2), "last_seen_at": before(seconds=3)} | fields
    agent = Agent.objects.create(project=project, host=project.host, **values)
    AgentSession.objects.create(
        agent=agent, host=agent.host, vendor=agent.vendor, session_id=session_id, started_at=agent.started_at
    )
    return agent


def make_ended_agent(ended_at=None, **fields):
    return make_agent(presence="ended", ended_at=ended_at or before(minutes=5), **fields)


def make_command(agent, state="processing", **fields):
    """Return a command, with the state change that brought it where it is."""
    values = {"prompt": "Fix the flaky test", "started_at": before(hours=1)} | fields
    if state == "complete":
        values = {"completed_at": before(minutes=1), "outcome": "completed"} | values
    command = Command.objects.create(agent=agent, state=state, **values)
    make_change(agent, command=command, after=state, changed_at=values.get("completed_at") or values["started_at"])
    return command


def make_wait(command, **fields):
    values = {"asking": "permission", "tool_name": "Bash", "text": "git push", "opened_at": before(minutes=4)} | fields
    if "closed_at" in fields:
        values = {"closed_by": "finished"} | values
    return Wait.objects.create(agent=command.agent, command=command, **values)


def make_turn(command, **fields):
    values = {"actor": "user", "intent": "command", "text": "Fix it", "said_at": before(minutes=10)} | fields
    return Turn.objects.create(agent=command.agent, command=command, **values)


def make_change(agent, **fields):
    values = {"before": "idle", "after": "commanded", "trigger": "command", "version": 1, "changed_at": before(hours=1)}
    return StateChange.objects.create(agent=agent, **values | fields)


def make_event(agent=None, host=None, **fields):
    instant = fields.setdefault("received_at", before(minutes=1))
    outcome = fields.setdefault("outcome", "applied")
    values = {
        "vendor": "claude-code",
        "session_id": agent.session_id if agent else "",
        "name": "Stop",
        "key": f"key-{next(_numbers)}",
        "applied_at": None if outcome == "pending" else instant,
        "payload": {"session_id": "s"},
    } | fields
    return HookEvent.objects.create(agent=agent, host=host or (agent and agent.host) or make_host("laptop"), **values)
