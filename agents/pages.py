"""The pages: all agents by who needs somebody, and one agent with its history."""

from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from agents import conf
from agents.cards import Card, card_of, counts, grouped
from agents.models import Agent, Project
from agents.selection import matching, plain
from agents.standing import standing_of, with_standing
from agents.states import Presence

ENDED_SHOWN = 20
GROUP_SHOWN = 100
"""How many agents of one kind are shown; whoever has more looks for the one that is meant."""
_COMMANDS_SHOWN, _TURNS_SHOWN, _CHANGES_SHOWN, _EVENTS_SHOWN = 20, 40, 50, 50


@dataclass(frozen=True, slots=True)
class Choice:
    """Which agents the reader wants to see."""

    text: str
    project: str

    @classmethod
    def of(cls, query: QueryDict) -> "Choice":
        """Read what stands in the address; whatever does, it is a choice."""
        return cls(plain(query.get("q", "")), plain(query.get("project", "")))

    def __bool__(self) -> bool:
        return bool(self.text or self.project)

    def cards(self, now: datetime) -> list[Card]:
        """Return all that have not ended, and those that ended last."""
        agents = matching(with_standing(Agent.objects.all()), self.text)
        if self.project:
            agents = agents.filter(project__name=self.project)
        ended = agents.filter(presence=Presence.ENDED).order_by("-ended_at", "-pk")[:ENDED_SHOWN]
        chosen = chain(agents.exclude(presence=Presence.ENDED), ended)
        return [card_of(standing_of(agent), now, conf.silent_after()) for agent in chosen]


@never_cache
@login_required
@require_safe
def board(request: HttpRequest) -> HttpResponse:
    """Show all agents by who needs somebody; with ``fragment`` in the address only the part that changes."""
    choice, now = Choice.of(request.GET), timezone.now()
    groups = grouped(choice.cards(now), GROUP_SHOWN)
    context = {"groups": groups, "counts": counts(groups), "choice": choice, "server": request.build_absolute_uri("/")}
    if "fragment" in request.GET:
        return render(request, "agents/_board.html", context)
    projects = Project.objects.order_by("name").values_list("name", flat=True).distinct()
    return render(request, "agents/board.html", context | {"projects": projects})


@never_cache
@login_required
@require_safe
def one_agent(request: HttpRequest, agent_id: int) -> HttpResponse:
    """Show one agent: what it does, what it waits for, and what it did."""
    now = timezone.now()
    agent = get_object_or_404(with_standing(Agent.objects.all()), pk=agent_id)
    standing = standing_of(agent)
    context = {
        "now": now,
        "agent": agent,
        "standing": standing,
        "card": card_of(standing, now, conf.silent_after()),
        **_history(agent),
    }
    template = "agents/_agent.html" if "fragment" in request.GET else "agents/agent.html"
    return render(request, template, context)


def _history(agent: Agent) -> dict[str, Any]:
    """Return what the agent did, the newest first, as far back as a person reads."""
    return {
        "sessions": agent.sessions.order_by("-started_at", "-pk"),
        "commands": agent.commands.order_by("-started_at", "-pk")[:_COMMANDS_SHOWN],
        "turns": agent.turns.order_by("-said_at", "-pk")[:_TURNS_SHOWN],
        "changes": agent.changes.order_by("-pk")[:_CHANGES_SHOWN],
        "events": agent.events.defer("payload", "headers", "answer").order_by("-pk")[:_EVENTS_SHOWN],
    }
