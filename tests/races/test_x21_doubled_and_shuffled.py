"""X21: a recorded session ends in the same rows, however often its hooks come and however they overtake each other.

Every order here is one that a client's concurrency allows: parallel calls side by side, and the last words beside the
stop and the end. Each hook comes once to three times at the same moment, and at some moments the agent is busy, so that
its hooks go through the inbox. The pure orders are in ``tests/agents/test_client_concurrency.py``, lost hooks in
``tests/agents/test_lost_events.py``.
"""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agents.cycles import drainer
from agents.models import AgentSession
from locks import LockKey, LockNamespace
from tests.agents.replay import RECORDED, rows_of, session
from tests.races.hooks import Session
from tests.races.meeting import Actor, answers, third
from tests.races.mutants import BLIND_LOOK, BLIND_RECORD, NO_CONFLICT, rewritten, without
from tests.races.truths import agent_of, broken, waiting_hooks

ONE_ROW = ("agents_hookevent", "event_one_row_per_key")
LAST_WORDS = ("MessageDisplay", "Stop", "StopFailure", "SessionEnd")
SOON, LONG = timedelta(milliseconds=30), timedelta(seconds=60)
MOMENTS = 60
"""More than any recorded session has."""


def moments(payloads):
    """Return the places of the payloads: what follows another stands in turn, what runs beside it in strands."""
    found = []
    for place, told in enumerate(payloads):
        strands = found[-1] if found and _beside(payloads, found[-1], told) else None
        if strands is None:
            found.append([[place]])
        elif strand := _own_strand(payloads, strands, told):
            strand.append(place)
        else:
            strands.append([place])
    return found


def _beside(payloads, strands, told):
    """Whether it belongs to the moment of those strands: calls of one message, or a message's last words."""
    others = [payloads[strand[0]] for strand in strands]
    names = {other["hook_event_name"] for other in others}
    if told["hook_event_name"] in LAST_WORDS:
        return names <= set(LAST_WORDS) and told["hook_event_name"] not in names
    return bool(_call(told)) and all(_call(other) for other in others)


def _own_strand(payloads, strands, told):
    return next((strand for strand in strands if _call(told) and _call(payloads[strand[0]]) == _call(told)), None)


def _call(told):
    return told.get("tool_use_id") if "agent_id" not in told else None


def tell(told, host, copies, busy, limits):
    """Tell a session to its end; return its final rows, without the way that led there, and what its person saw."""
    client, heard = Session(host.token), []
    for number, strands in enumerate(moments(told.payloads)):
        with third() as other:
            limits(BUSY_AFTER=LONG)
            if busy[number] and _is_known(told, strands) and not _clears(told, strands):
                limits(BUSY_AFTER=SOON)
                other.lock(LockKey(LockNamespace.AGENT, agent_of(told.payloads[strands[0][0]]["session_id"]).pk))
            heard += answers([Actor(_tell_strand, client, told, strand, copies) for strand in strands])
    limits(BUSY_AFTER=LONG)
    drainer.run_once(timezone.now())
    assert not waiting_hooks()
    seen = {answer for answers in heard for answer in answers if not answer.is_good}
    return [_without_its_way(agent) for agent in rows_of(told)], seen


def _is_known(told, strands):
    return AgentSession.objects.filter(session_id=told.payloads[strands[0][0]]["session_id"]).exists()


def _clears(told, strands):
    """Whether the session ends here to go on as another one: which must be known when that one comes."""
    return any(told.payloads[place].get("reason") == "clear" for strand in strands for place in strand)


def _without_its_way(row):
    """Leave out what tells how something came about: the state changes, and the sentences that say why."""
    kept = {key: value for key, value in row.items() if key not in ("changes", "reason")}
    if "commands" in kept:
        kept["commands"] = [_without_its_way(command) for command in kept["commands"]]
    return kept


def _tell_strand(client, told, strand, copies):
    """Send the hooks of a strand one after the other, the copies of each at once."""
    heard = []
    for place in strand:
        fields = {**told.payloads[place], "name": told.payloads[place]["hook_event_name"]}
        heard += answers([Actor(client.tell, **fields) for _ in range(copies[place])])
    return heard


def in_turn(name, host, limits):
    return tell(session(name), host, [1] * MOMENTS, [False] * MOMENTS, limits)


@pytest.fixture(params=RECORDED)
def name(request):
    return request.param


@pytest.fixture
def expected(name, host, apart, limits):
    """The rows of the session told in turn, each hook once."""
    return in_turn(name, host, limits)


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # each example takes seconds: too long to look for a smaller one
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    copies=st.lists(st.integers(1, 3), min_size=MOMENTS, max_size=MOMENTS),
    busy=st.lists(st.booleans(), min_size=MOMENTS, max_size=MOMENTS),
)
def test_a_session_ends_in_the_same_rows(host, apart, limits, name, expected, copies, busy):
    assert tell(session(name), host, copies, busy, limits) == expected
    assert broken() == []


def test_mutant_without_its_key_a_hook_that_comes_twice_counts_twice(host, apart, limits):
    """All but the first: without a unique key even that one is refused."""
    name = "headless-api-error"
    ((expected,), _) = in_turn(name, host, limits)
    with without(*ONE_ROW), rewritten([*BLIND_LOOK, *BLIND_RECORD, *NO_CONFLICT]):
        ((found,), _) = tell(session(name), host, [1] + [2] * MOMENTS, [False] * MOMENTS, limits)
    assert found["turns"].count(expected["turns"][0]) == 1
    assert len(found["turns"]) > len(expected["turns"])
