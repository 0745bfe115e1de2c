"""An agent as the page shows it, and how much it needs a person."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from django.db.models.expressions import RawSQL

from agents.ages import spoken
from agents.models import Agent
from agents.standing import Standing
from agents.states import CommandState, Mode, Outcome, Presence, Trigger

LATELY = timedelta(hours=1)
"""How long a command that went wrong keeps its agent among those that need somebody."""
_PROMPT_SHOWN = 220
_WAIT_SHOWN = 400


class Need(IntEnum):
    """Why somebody may have to look, the most urgent first."""

    WAITS = 0
    AMBIGUOUS = 1
    FAILED = 2
    SILENT = 3
    WORKING = 4
    IDLE = 5
    ENDED = 6

    @property
    def title(self) -> str:
        """The heading of the agents that share it."""
        return _TITLES[self]

    @property
    def is_urgent(self) -> bool:
        """Whether nothing goes on before somebody has looked."""
        return self <= Need.FAILED


_TITLES = {
    Need.WAITS: "Waiting for you",
    Need.AMBIGUOUS: "Ambiguous",
    Need.FAILED: "Failed or interrupted",
    Need.SILENT: "Silent",
    Need.WORKING: "Working",
    Need.IDLE: "Idle",
    Need.ENDED: "Ended",
}


@dataclass(frozen=True, slots=True)
class Question:
    """Something that the agent asks."""

    asking: str
    tool: str
    text: str
    age: str


@dataclass(frozen=True, slots=True)
class Card:
    """One agent, in words."""

    id: int
    name: str
    need: Need
    order: float
    """Among agents with the same need: the smallest first."""
    state: str
    outcome: str
    """How its last command ended; empty while one is open."""
    reason: str
    age: str
    """How long it is in this state."""
    since: str
    heard: str
    """How long ago something was heard of it."""
    heard_at: str
    host: str
    vendor: str
    model: str
    prompt: str
    questions: tuple[Question, ...]
    mode: str
    """Empty while it may run."""
    ambiguous: str
    is_missing: bool
    """Nothing tells whether it is still there."""


@dataclass(frozen=True, slots=True)
class Group:
    """The agents that share a need."""

    need: Need
    cards: tuple[Card, ...]
    more: int
    """How many are left out."""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.cards) + self.more


def name_of(agent: Agent) -> str:
    """Return what people call an agent."""
    return f"{agent.project.name} · #{agent.pk}"


def names_of(agent_ids: Collection[int]) -> dict[int, str]:
    """Return the names of those agents that there are."""
    # As one parameter: thousands of them cost more than the rows.
    wanted = RawSQL("SELECT unnest(%s::bigint[])", [list(agent_ids)])
    agents = Agent.objects.filter(pk__in=wanted).select_related("project").only("project__name")
    return {agent.pk: name_of(agent) for agent in agents}


def card_of(standing: Standing, now: datetime, silent_after: timedelta) -> Card:
    """Return the card of an agent at an instant."""
    agent = standing.agent
    need = need_of(standing, now, silent_after)
    since = _since(standing)
    return Card(
        id=agent.pk,
        name=name_of(agent),
        need=need,
        order=_order(standing, need, since),
        state=_state(standing),
        outcome=(standing.latest and standing.latest.outcome) or "",
        reason=agent.reason,
        age=spoken(now - since),
        since=_second(since),
        heard=spoken(now - agent.last_seen_at),
        heard_at=_second(agent.last_seen_at),
        host=agent.host.name,
        vendor=agent.vendor,
        model=agent.model,
        prompt=_prompt(standing),
        questions=tuple(
            Question(wait.asking, wait.tool_name, shortened(wait.text, _WAIT_SHOWN), spoken(now - wait.opened_at))
            for wait in standing.waits
        ),
        mode="" if agent.mode == Mode.RUN else agent.mode.replace("_", " "),
        ambiguous=agent.ambiguous or "",
        is_missing=agent.presence == Presence.UNKNOWN,
    )


def need_of(standing: Standing, now: datetime, silent_after: timedelta) -> Need:
    """Return why somebody may have to look at an agent."""
    agent = standing.agent
    if agent.presence == Presence.ENDED:
        return Need.FAILED if _was_lost_at_work(standing) and _is_recent(standing, now) else Need.ENDED
    if standing.state is CommandState.AWAITING_INPUT:
        return Need.WAITS
    if agent.ambiguous:
        return Need.AMBIGUOUS
    if standing.command is None:
        return Need.FAILED if _went_wrong(standing) and _is_recent(standing, now) else Need.IDLE
    # Only of an agent at work one expects to hear: an idle one is quiet by nature.
    quiet = agent.presence == Presence.UNKNOWN or now - agent.last_seen_at >= silent_after
    return Need.SILENT if quiet else Need.WORKING


def _went_wrong(standing: Standing) -> bool:
    return bool(standing.latest and standing.latest.outcome in (Outcome.FAILED, Outcome.INTERRUPTED))


def _was_lost_at_work(standing: Standing) -> bool:
    abandoned = standing.latest and standing.latest.outcome is Outcome.ABANDONED
    return bool(abandoned and standing.moved_by == Trigger.LOSS)


def _is_recent(standing: Standing, now: datetime) -> bool:
    ended_at = standing.latest and standing.latest.completed_at
    return bool(ended_at and now - ended_at < LATELY)


def _since(standing: Standing) -> datetime:
    """Return since when somebody is asked; where nobody is, since when the state is what it is."""
    waiting = standing.state is CommandState.AWAITING_INPUT and standing.waits
    return min(wait.opened_at for wait in standing.waits) if waiting else standing.since


def _order(standing: Standing, need: Need, since: datetime) -> float:
    """Return a key by which cards stay where they are as long as nothing has happened to their agents."""
    if need in (Need.FAILED, Need.ENDED):
        return -since.timestamp()
    if need is Need.SILENT:
        return standing.agent.last_seen_at.timestamp()
    if need is Need.IDLE:
        return -standing.agent.last_seen_at.timestamp()
    if need is Need.WORKING and standing.command:
        return standing.command.started_at.timestamp()
    return since.timestamp()


def _second(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def _state(standing: Standing) -> str:
    if standing.agent.presence == Presence.ENDED:
        return Presence.ENDED.value
    return standing.state.value


def _prompt(standing: Standing) -> str:
    if standing.command:
        return shortened(standing.command.prompt, _PROMPT_SHOWN)
    return shortened(standing.latest.prompt, _PROMPT_SHOWN) if standing.latest else ""


def shortened(text: str, limit: int) -> str:
    """Return a text in one line of at most ``limit`` characters."""
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit and len(text) <= 4 * limit else f"{line[: limit - 1].rstrip()}…"


def grouped(cards: Iterable[Card], at_most: int) -> list[Group]:
    """Return the cards by need, each group in its order and with ``at_most`` of its cards."""
    by_need: dict[Need, list[Card]] = {}
    for card in sorted(cards, key=lambda card: (card.need, card.order, card.id)):
        by_need.setdefault(card.need, []).append(card)
    return [Group(need, tuple(mine[:at_most]), max(0, len(mine) - at_most)) for need, mine in by_need.items()]


def counts(groups: Sequence[Group]) -> list[tuple[str, int]]:
    """Return how many need somebody, are silent, work and are idle; what nobody is, is left out but for the first."""
    urgent = sum(group.count for group in groups if group.need.is_urgent)
    words = {Need.SILENT: "silent", Need.WORKING: "working", Need.IDLE: "idle"}
    others = [(words[group.need], group.count) for group in groups if group.need in words]
    return [("need you" if urgent != 1 else "needs you", urgent), *others]
