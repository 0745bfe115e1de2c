"""Which agents somebody asks for: the filters that page and API share."""

from django.db.models import Exists, OuterRef, Q, QuerySet

from agents.models import Agent, AgentSession, Command
from agents.states import CommandState

_LARGEST_ID = 2**63 - 1


def plain(text: str) -> str:
    """Return what somebody typed without what PostgreSQL cannot hold."""
    return text.replace("\0", "").strip()


def in_state(agents: QuerySet[Agent], state: CommandState) -> QuerySet[Agent]:
    """Return those whose open command is in this state; idle are those without one. None is complete."""
    if state is CommandState.COMPLETE:
        return agents.none()
    mine = Command.objects.open().filter(agent=OuterRef("pk"))
    return agents.filter(~Exists(mine) if state is CommandState.IDLE else Exists(mine.filter(state=state)))


def matching(agents: QuerySet[Agent], text: str) -> QuerySet[Agent]:
    """Return those of which every word is in their names, their place, one of their sessions or their open prompt.

    ``#12`` is the agent with this number.
    """
    for word in plain(text).split():
        agents = agents.filter(_word(word))
    return agents


def _word(word: str) -> Q:
    number = word.removeprefix("#")
    if word != number and number.isdecimal():
        return Q(pk=min(int(number), _LARGEST_ID))
    named = Q()
    for field in ("project__name", "host__name", "vendor", "model", "cwd", "session_id"):
        named |= Q(**{f"{field}__icontains": word})
    mine = OuterRef("pk")
    return (
        named
        | Q(Exists(Command.objects.open().filter(agent=mine, prompt__icontains=word)))
        | Q(Exists(AgentSession.objects.filter(agent=mine, session_id__icontains=word)))
    )
