"""Any order in which a client's hooks may arrive ends in the same place (X21).

A client has several hooks under way at once: on two connections, or without waiting for the answer. Which ones, real
sessions showed; ``in_flight`` says it.
"""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.events import (
    AttentionWanted,
    Noted,
    PermissionDenied,
    PermissionRequested,
    PromptSubmitted,
    SessionEnded,
    SessionStarted,
    Start,
    TextShown,
    ToolFinished,
    ToolRequested,
    ToolsSettled,
    TurnFailed,
    TurnStopped,
)
from tests.agents.play import play
from tests.agents.stories import ALL

BOUND = 400
"""How many orders of a session are all tried; of a larger number, random ones are."""

STOPS = (TurnStopped, TurnFailed)
CALLS = (ToolRequested, ToolFinished, PermissionRequested, PermissionDenied)
UNMOVED = (PromptSubmitted, SessionStarted)


def in_flight(earlier, later, together):
    """Whether the later event may overtake the earlier one; ``together`` holds the calls of each message."""
    pair = (earlier, later)
    return (
        _shown_without_waiting(*pair)
        or _shown_without_waiting(later, earlier)
        or (isinstance(earlier, STOPS) and isinstance(later, SessionEnded))
        or _of_one_message(*pair, together)
        or (isinstance(earlier, PermissionRequested) and isinstance(later, ToolsSettled | ToolFinished))
        or _beside_a_subagent(*pair)
        or _between_sessions(*pair)
    )


def _shown_without_waiting(shown, other):
    """A notification comes at any time until the next prompt, a text beside the stop that ends it."""
    if isinstance(shown, AttentionWanted):
        return not isinstance(other, UNMOVED)
    return isinstance(shown, TextShown) and isinstance(other, (*STOPS, SessionEnded))


def _of_one_message(earlier, later, together):
    if not (isinstance(earlier, CALLS) and isinstance(later, CALLS)):
        return False
    digests = earlier.tool.digest, later.tool.digest
    return digests[0] != digests[1] and any(set(digests) <= calls for calls in together)


def _beside_a_subagent(earlier, later):
    """A subagent works beside the agent, from its launch on."""
    launches = isinstance(earlier, (*UNMOVED, ToolRequested)) and not earlier.origin.subagent_id
    ends_last = isinstance(later, PromptSubmitted | SessionEnded)
    return earlier.origin.subagent_id != later.origin.subagent_id and not launches and not ends_last


def _between_sessions(earlier, later):
    if isinstance(earlier, SessionEnded):
        return earlier.continues and isinstance(later, SessionStarted)
    return isinstance(earlier, SessionStarted) and earlier.start is Start.COMPACT and isinstance(later, Noted)


def calls_together(told):
    """Return the digests of the calls of each message: only a batch tells which belong together."""
    digests = {event.tool.use_id: event.tool.digest for event in told if isinstance(event, ToolRequested)}
    batches = (event.use_ids for event in told if isinstance(event, ToolsSettled))
    return [{digests[use_id] for use_id in use_ids if use_id in digests} for use_ids in batches]


def waited_for(told):
    """Return for each event the places of those that must have arrived before."""
    together = calls_together(told)
    return [
        {i for i, earlier in enumerate(told[:j]) if not in_flight(earlier, later, together)}
        for j, later in enumerate(told)
    ]


def orders(before, done=()):
    """Yield every order that keeps what must come before, as places."""
    if len(done) == len(before):
        yield done
    for place in ready(before, done):
        yield from orders(before, (*done, place))


def ready(before, done):
    arrived = set(done)
    return [place for place, needed in enumerate(before) if place not in arrived and needed <= arrived]


def ending(told):
    """Return where the agent ends, without ids and without the order of what is under way."""
    story = play(*told)
    end = story.situation
    commands = [
        (row.state, row.outcome, set(row.prompt_ids), row.prompt, row.inferred, row.gaps) for row in story.commands
    ]
    under_way = (dict(end.tools), set(end.settled), set(end.subagents), set(end.background), dict(end.past))
    waits = Counter((wait.asking, wait.use_id, wait.digest) for wait in end.waits)
    return (end.presence, end.state, end.generation, end.session_id, dict(end.gaps), commands, under_way, waits)


def in_words(told, order):
    def words(event):
        return type(event).__name__ + (f" {event.tool.digest}" if hasattr(event, "tool") else "")

    return ", ".join(words(told[place]) for place in order)


def is_small(told):
    return len(list(islice(orders(waited_for(told)), BOUND + 1))) <= BOUND


SMALL = [name for name, told in ALL.items() if is_small(told)]
LARGE = [name for name in ALL if name not in SMALL]


def test_there_are_sessions_of_both_kinds():
    assert SMALL and LARGE


def test_the_orders_of_two_chains_are_all_their_mixtures():
    assert sorted(orders([set(), {0}, set(), {2}])) == sorted(
        [(0, 1, 2, 3), (0, 2, 1, 3), (0, 2, 3, 1), (2, 0, 1, 3), (2, 0, 3, 1), (2, 3, 0, 1)]
    )


@pytest.mark.parametrize("name", SMALL)
def test_every_order_that_a_client_allows_ends_the_same(name):
    told = ALL[name]
    expected = ending(told)
    for order in orders(waited_for(told)):
        assert ending([told[place] for place in order]) == expected, in_words(told, order)


@pytest.mark.parametrize("name", LARGE)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_order_that_a_client_allows_ends_the_same(name, data):
    told = ALL[name]
    before, done = waited_for(told), ()
    while len(done) < len(told):
        done = (*done, data.draw(st.sampled_from(ready(before, done))))
    assert ending([told[place] for place in done]) == ending(told), in_words(told, done)
