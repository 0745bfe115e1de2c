"""Each single event of a session lost: the end is the same or says that it is not sure, never a guess (X21)."""

import pytest

from agents.events import CompactionStarted, SessionEnded, SessionStarted, Start, TurnFailed, TurnStopped
from agents.situations import Situation
from agents.states import Outcome, Presence
from tests.agents.play import Play
from tests.agents.stories import ALL

CONTINUING = (Start.CLEAR, Start.FORK, Start.RESUME)
LOSSES = [
    pytest.param(told, place, id=f"{name}: {place} {type(event).__name__}")
    for name, told in ALL.items()
    for place, event in enumerate(told)
]


def agents_of(told):
    """Return the agents that the events make, each told its own: a session belongs to one agent."""
    by_session = {}
    for event in told:
        session_id = event.origin.session_id
        if session_id not in by_session:
            by_session[session_id] = _adopted(event, by_session)
        by_session[session_id].tell(event)
    return list(dict.fromkeys(by_session.values()))


def _adopted(event, by_session):
    continues = isinstance(event, SessionStarted) and event.start in CONTINUING
    if continues and by_session:
        return list(by_session.values())[-1]
    gaps = {} if isinstance(event, SessionStarted) else {"start": "its start was not seen"}
    return Play(Situation(session_id=event.origin.session_id, gaps=gaps))


def without(told, place):
    return told[:place] + told[place + 1 :]


def claims(row):
    return row.state, row.outcome, row.prompt


def is_flagged(agents):
    return any(agent.ambiguous or any(row.inferred or row.gaps for row in agent.commands) for agent in agents)


@pytest.mark.parametrize(("told", "place"), LOSSES)
def test_a_loss_changes_nothing_or_is_told(told, place):
    whole, lossy = agents_of(told), agents_of(without(told, place))
    if is_flagged(lossy):
        return
    (true,), (shown,) = whole, lossy
    assert len(shown.commands) == len(true.commands)
    for row, known in zip(shown.commands, true.commands, strict=True):
        if claims(row) != claims(known):
            # What was concluded says from what, and never claims an end that only a witness can tell.
            assert isinstance(told[place], TurnStopped | TurnFailed | CompactionStarted)
            assert row.outcome in (Outcome.INTERRUPTED, Outcome.ABANDONED)
            assert row.reason and row.reason != known.reason
    if not isinstance(told[place], SessionEnded):
        assert shown.presence is true.presence
    assert (shown.state, shown.open_waits) == (true.state, true.open_waits)


@pytest.mark.parametrize("told", ALL.values(), ids=ALL.keys())
def test_a_lost_end_leaves_the_agent_alive(told):
    assert isinstance(told[-1], SessionEnded)
    (agent,) = agents_of(told[:-1])
    assert agent.presence is Presence.ALIVE


@pytest.mark.parametrize("told", ALL.values(), ids=ALL.keys())
def test_nothing_lost_is_nothing_flagged(told):
    (agent,) = agents_of(told)
    assert not is_flagged([agent]) and not agent.late


@pytest.mark.parametrize(("told", "place"), LOSSES)
def test_an_end_is_claimed_only_on_its_own_witness(told, place):
    lossy = without(told, place)
    witnesses = {Outcome.COMPLETED: TurnStopped, Outcome.FAILED: TurnFailed}
    for agent in agents_of(lossy):
        for row in agent.commands:
            if row.outcome in witnesses:
                kind = witnesses[row.outcome]
                assert any(isinstance(event, kind) and event.origin.prompt_id in row.prompt_ids for event in lossy)
