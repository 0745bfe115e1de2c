"""What must be true of an agent's rows, whatever raced; each broken truth is a sentence."""

from collections import Counter

from agents.models import Agent, AgentSession, HookEvent
from agents.states import TABLE, CommandState, Trigger
from tests.races.meeting import asked


def broken(agent_id=None):
    """Return the truths that do not hold, of one agent or of all."""
    agents = Agent.objects.filter(pk=agent_id) if agent_id else Agent.objects.all()
    return [f"agent {agent.pk}: {sentence}" for agent in agents for sentence in _broken(agent)]


def _broken(agent):
    yield from _commands(agent)
    yield from _moves(agent)
    yield from _presence(agent)
    yield from _journal(agent)


def _commands(agent):
    commands = list(agent.commands.order_by("pk"))
    if sum(command.state != CommandState.COMPLETE for command in commands) > 1:
        yield "two commands are open"
    prompts = Counter(prompt for command in commands for prompt in command.prompt_ids)
    yield from (f"two commands have the prompt {prompt}" for prompt, count in prompts.items() if count > 1)


def _moves(agent):
    """Every move of a command begins where the one before it ended, and is one of the table's."""
    for command in agent.commands.order_by("pk"):
        state = CommandState.IDLE
        for change in command.changes.exclude(trigger="gap").order_by("pk"):
            if change.before != state:
                yield f"command {command.pk} moved from {change.before} when it was {state}"
            step = TABLE[CommandState(change.before)][Trigger(change.trigger)]
            if step is None or step.to != change.after:
                yield f"command {command.pk} made a move that is not the table's: {change} by {change.trigger}"
            state = CommandState(change.after)
        if state != command.state:
            yield f"command {command.pk} is {command.state}, and its moves led to {state}"


def _presence(agent):
    """Every move of the agent itself begins where the one before it ended."""
    presence = "alive"
    for change in agent.changes.filter(command=None).order_by("pk"):
        if change.before != presence:
            yield f"it moved from {change.before} when it was {presence}"
        presence = change.after
    if presence != agent.presence:
        yield f"it is {agent.presence}, and its moves led to {presence}"
    if (agent.presence == "ended") is not (agent.ended_at is not None):
        yield f"it is {agent.presence} and ended at {agent.ended_at}"


def _journal(agent):
    applied = agent.events.filter(outcome__in=["applied", "late", "unsupported"]).count()
    by_cycles = agent.changes.filter(event=None).values("version").distinct().count()
    if agent.version != applied + by_cycles:
        yield f"version {agent.version} after {applied} applied hooks"
    seen = {}
    for change in agent.changes.all():
        if seen.setdefault(change.version, change.event_id) != change.event_id:
            yield f"two hooks made version {change.version}"


def rows_of(key):
    """Return the journal's rows of what a client sent with this key."""
    return HookEvent.objects.filter(key__startswith=f"client:{key}:")


def waiting_hooks():
    return HookEvent.objects.filter(outcome="pending").count()


def said(agent):
    """Return what was said, in order, as (actor, intent, text)."""
    return list(agent.turns.order_by("pk").values_list("actor", "intent", "text"))


def ends(agent):
    """Return each command's prompts, state and outcome, in order."""
    return [(*command.prompt_ids, command.state, command.outcome) for command in agent.commands.order_by("pk")]


def tools(agent):
    """Return the ids of the calls that are known to be under way."""
    return {call[0] for call in agent.working.get("tools", ())}


def agent_of(session="s1"):
    return AgentSession.objects.get(session_id=session).agent


def outcomes(session="s1"):
    """Return what became of the session's hooks, by how many."""
    return Counter(HookEvent.objects.filter(session_id=session).values_list("outcome", flat=True))


def locks_left():
    """Return the advisory locks that anybody still holds or waits for."""
    return asked(
        "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND a.datname = current_database()"
    )
