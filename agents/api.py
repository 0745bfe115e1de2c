"""The API, as far as it only reads: agents, and the history of each."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response
from rest_framework.exceptions import APIException, NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Agent
from agents.selection import in_state, matching, plain
from agents.serializers import (
    AgentSerializer,
    ChangeSerializer,
    CommandSerializer,
    EventSerializer,
    TurnSerializer,
)
from agents.standing import with_standing
from agents.states import CommandState, Mode, Presence


class BadQuery(APIException):
    """Something in the address cannot be meant."""

    status_code = 400
    default_code = "invalid_query"


class Newest(CursorPagination):
    """Pages that stay the same while rows are added: ``{"results": […], "next": address or null}``."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        """Return the view's order, which an index has."""
        return (view.ordering,)

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any] | None:
        """Return one page. Raises ``BadQuery`` for a cursor that was never given out."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValueError, ValidationError) as error:
            raise BadQuery("This cursor was not given out here.") from error

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page and the address of the next one."""
        return Response({"results": data, "next": self.get_next_link()})


class ReadView(GenericAPIView[Any]):
    """What all of them have in common."""

    permission_classes = [IsAuthenticated]
    pagination_class = Newest
    ordering = "-pk"

    def page(self, rows: QuerySet[Any]) -> Response:
        """Return one page of rows."""
        found: Sequence[Model] = self.paginate_queryset(rows) or []
        return self.get_paginated_response(self.get_serializer(found, many=True).data)


class AgentsView(ReadView):
    """``GET /api/agents``, the newest first; filters are ``state presence mode host project q``."""

    serializer_class = AgentSerializer

    def get(self, request: Request) -> Response:
        """Return one page of the agents that every filter lets through."""
        return self.page(_filtered(_agents(), request))


class AgentView(ReadView):
    """``GET /api/agents/{id}``, with its version as ETag."""

    serializer_class = AgentSerializer

    def get(self, request: Request, agent_id: int) -> Any:
        """Return the agent, or 304 to a reader who has this version."""
        agent = get_object_or_404(_agents(), pk=agent_id)
        etag = f'"{agent.version}"'
        response = Response(self.get_serializer(agent).data, headers={"ETag": etag})
        asked: HttpRequest = request._request
        return get_conditional_response(asked, etag=etag, response=response)


class HistoryView(ReadView):
    """``GET /api/agents/{id}/commands`` and the like: what an agent did, the newest first."""

    rows = ""
    """The name of the agent's rows that are shown."""
    deferred: tuple[str, ...] = ()
    """Columns that are large and not shown."""

    def get(self, request: Request, agent_id: int) -> HttpResponse:
        """Return one page of the history."""
        agent = get_object_or_404(Agent.objects.only("pk"), pk=agent_id)
        history: QuerySet[Any] = getattr(agent, self.rows).all()
        return self.page(history.defer(*self.deferred) if self.deferred else history)


class CommandsView(HistoryView):
    """Instructions."""

    rows, ordering, serializer_class = "commands", "-started_at", CommandSerializer


class TurnsView(HistoryView):
    """Utterances."""

    rows, ordering, serializer_class = "turns", "-said_at", TurnSerializer


class EventsView(HistoryView):
    """Hooks."""

    rows, serializer_class = "events", EventSerializer
    deferred = ("payload", "headers")


class ChangesView(HistoryView):
    """Moves."""

    rows, serializer_class = "changes", ChangeSerializer


def _agents() -> QuerySet[Agent]:
    return with_standing(Agent.objects.all()).prefetch_related("sessions")


def _filtered(agents: QuerySet[Agent], request: Request) -> QuerySet[Agent]:
    """Return the agents that every filter lets through. Raises ``BadQuery``."""
    asked = {name: plain(request.query_params.get(name, "")) for name in _FILTERS}
    for name, column in _COLUMNS.items():
        if asked[name]:
            agents = agents.filter(**{column: asked[name]})
    for name, words in _WORDS.items():
        if asked[name]:
            agents = agents.filter(**{name: _word(words, name, asked[name])})
    if asked["state"]:
        agents = in_state(agents, CommandState(_word(CommandState, "state", asked["state"])))
    return matching(agents, asked["q"])


_COLUMNS = {"host": "host__name", "project": "project__name"}
_WORDS: dict[str, type[StrEnum]] = {"presence": Presence, "mode": Mode}
_FILTERS = ("state", "q", *_COLUMNS, *_WORDS)


def _word(words: type[StrEnum], name: str, said: str) -> str:
    if said not in list(words):
        raise BadQuery(f"{name} is one of {', '.join(words)}.")
    return said
