"""Whose session is it: the first hook of a session finds or makes the agent that it belongs to.

A session that continues another one (clear, fork, resume in the same process) keeps its agent, where that is certain:
the prompt that ended the one began the other, or both were the same process. Where it is not certain, the session gets
an agent of its own that says so. Neither ever hijacks the other (X2), and a nested agent is a child of its own (X3).
"""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Greatest

from agents.deliveries import Delivery
from agents.events import Origin, SessionStarted, Start
from agents.models import Agent, AgentSession, HookEvent, Project
from agents.situations import Situation
from agents.snapshots import working_of
from agents.states import Mode, Presence
from agents.stored import delivery_of
from locks import LockNamespace, advisory_lock

_NOT_SEEN = "its session start was not seen"
_CONTINUES_UNKNOWN = "it goes on with a conversation whose agent is not known"
_ROOT_BYTES = 2000
"""A longer path counts as untold: a third of a page is the most that PostgreSQL takes into an index."""
_NAME_LENGTH = 255
_STRICTNESS = [Mode.RUN, Mode.DRAIN, Mode.READ_ONLY, Mode.HOLD, Mode.STOPPED]
_CONTINUING = (Start.CLEAR, Start.FORK, Start.RESUME)


def adopt(delivery: Delivery, host_id: int, patience: timedelta) -> int:
    """Make sure that the delivery's session has an agent, and return its primary key.

    Must run in a transaction. Takes the lock on the session's name first (a row that does not exist cannot be locked:
    M8), then the agent's, in the declared order. Raises ``LockTimeout``.
    """
    origin = delivery.event.origin
    session = {"host_id": host_id, "vendor": origin.vendor, "session_id": origin.session_id}
    with advisory_lock(LockNamespace.SESSION, f"{host_id}:{origin.vendor}:{origin.session_id}", timeout=patience):
        known = AgentSession.objects.filter(**session).values_list("agent_id", flat=True).first()
        if known is None:
            first = _first_of(session) or delivery
            agent = _continued_agent(first, host_id, patience) or _new_agent(first, host_id)
            AgentSession.objects.create(agent=agent, started_at=delivery.received_at, **session)
            known = agent.pk
        # Hooks of this session that found its name locked wait with no agent, also such as came after it had one.
        HookEvent.objects.filter(agent=None, outcome="pending", **session).update(agent=known)
        return known


def _first_of(session: dict[str, Any]) -> Delivery | None:
    """Return the session's first hook where that waits in the inbox: it says what the session began as."""
    row = HookEvent.objects.filter(agent=None, outcome="pending", **session).order_by("pk").first()
    return delivery_of(row) if row else None


def expected_mode(delivery: Delivery, host_id: int) -> Mode:
    """Return the strictest mode that the session's agent may come to have; it has none yet, because that was busy."""
    origin = delivery.event.origin
    session = {"host_id": host_id, "vendor": origin.vendor, "session_id": origin.session_id}
    first = (_first_of(session) or delivery).event.origin
    predecessor = _predecessor(first, host_id)
    modes = [_inherited_mode(first, host_id), _inherited_mode(origin, host_id)]
    modes += [Mode(predecessor.mode)] if predecessor else []
    return max(modes, key=_STRICTNESS.index)


def _continued_agent(delivery: Delivery, host_id: int, patience: timedelta) -> Agent | None:
    """Return the agent that goes on with this session, locked, with its earlier session closed; or nothing."""
    event = delivery.event
    if not isinstance(event, SessionStarted) or event.start not in _CONTINUING:
        return None
    found = _predecessor(event.origin, host_id)
    if found is None:
        return None
    with advisory_lock(LockNamespace.AGENT, found.pk, timeout=patience):
        agent = _predecessor(event.origin, host_id)  # judged again under the lock
        if agent is None or agent.pk != found.pk:
            return None
        # A clock may have been put back: what ends does not end before it began.
        ended_at = Greatest(F("started_at"), Value(delivery.received_at))
        agent.sessions.filter(ended_at=None).update(ended_at=ended_at, end_reason=event.start)
        return agent


def _predecessor(origin: Origin, host_id: int) -> Agent | None:
    """Return the one agent that was in this conversation's place, or nothing where none or several may have been."""
    alive = Agent.objects.alive().filter(host=host_id, vendor=origin.vendor)
    same = Q()
    if origin.process:
        process = origin.process
        same |= Q(pid=process.pid, process_started=process.started, process_place=process.place)
    if origin.prompt_id:
        same |= Q(sessions__end_prompt_id=origin.prompt_id, sessions__ended_at__isnull=False)
    candidates = list(alive.filter(same).distinct()[:2]) if same else []
    return candidates[0] if len(candidates) == 1 else None


def _new_agent(delivery: Delivery, host_id: int) -> Agent:
    origin, now = delivery.event.origin, delivery.received_at
    process = origin.process
    situation = Situation(gaps=_gaps(delivery))
    return Agent.objects.create(
        vendor=origin.vendor,
        host_id=host_id,
        project=_project(host_id, origin.cwd, now),
        parent=_parent(origin, host_id),
        session_id=origin.session_id,
        mode=_inherited_mode(origin, host_id),
        cwd=origin.cwd,
        pane=origin.pane,
        pid=process.pid if process else None,
        process_started=process.started if process else "",
        process_place=process.place if process else "",
        ambiguous=situation.ambiguous or None,
        working=working_of(situation),
        started_at=now,
        last_seen_at=now,
    )


def _inherited_mode(origin: Origin, host_id: int) -> Mode:
    """Return the strictest mode of the agents that this one may be going on for: those of its process, and those of its
    directory whose conversation has ended while they live, or whose inbox may hold that end. A conversation does not
    escape a hold by a new name.
    """
    alive = Agent.objects.alive().filter(host=host_id, vendor=origin.vendor)
    live = AgentSession.objects.filter(agent=OuterRef("pk"), ended_at=None)
    behind = HookEvent.objects.filter(agent=OuterRef("pk"), outcome="pending")
    between = Q(cwd=origin.cwd) & (~Exists(live) | Exists(behind))
    own = Q(pid=origin.process.pid, process_place=origin.process.place) if origin.process else Q(pk=None)
    modes = alive.filter(between | own).values_list("mode", flat=True)
    return max((Mode(mode) for mode in modes), key=_STRICTNESS.index, default=Mode.RUN)


def _gaps(delivery: Delivery) -> dict[str, str]:
    event = delivery.event
    if not isinstance(event, SessionStarted):
        return {"start": _NOT_SEEN}
    if event.start in (Start.CLEAR, Start.FORK):
        return {"predecessor": _CONTINUES_UNKNOWN}
    return {}


def _project(host_id: int, root: str, now: datetime) -> Project:
    place = root if 0 < len(root.encode()) <= _ROOT_BYTES else "/"
    name = (place.rstrip("/").rsplit("/", 1)[-1] or place)[:_NAME_LENGTH]
    project, _ = Project.objects.get_or_create(host_id=host_id, root=place, defaults={"name": name, "created_at": now})
    return project


def _parent(origin: Origin, host_id: int) -> Agent | None:
    """Return the agent in whose tool call this one was started: its process is above, or it works in the same pane."""
    alive = Agent.objects.filter(host=host_id, presence=Presence.ALIVE)
    place = origin.process.place if origin.process else ""
    above = {agent.pid: agent for agent in alive.filter(pid__in=origin.ancestors, process_place=place)}
    for pid in origin.ancestors:
        if pid in above:
            return above[pid]
    if not origin.pane:
        return None
    in_pane = alive.filter(pane=origin.pane, commands__state__in=["processing", "awaiting_input"])
    return in_pane.order_by("-last_seen_at").first()
