"""A client has several hooks under way at once: over whichever connections they race, a session ends in the same rows.

Which ones may be under way together is said by ``waited_for``, the same relation that the rules are held to.
"""

import random

import pytest
from django.utils import timezone

from agents.adapters import ADAPTERS
from agents.cycles import drainer
from tests.agents.expected_rows import END
from tests.agents.replay import RECORDED, rows_of, session, together
from tests.agents.test_client_concurrency import ready, waited_for

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = 24
WIRES = 6


@pytest.fixture(params=RECORDED)
def name(request):
    return request.param


def order_of_waiting(told):
    """Return for each payload the places of those whose answers its client has before it sends this one.

    Where a start does not name its process, nothing but the end before it tells whose session it is.
    """
    adapter = ADAPTERS[told.vendor]
    before = waited_for([adapter.parse(body) for body in told.payloads])
    for place, body in enumerate(told.payloads):
        if body["hook_event_name"] == "SessionStart" and not told.process:
            before[place] = set(range(place))
    return before


def bursts(before, dice):
    """Yield the places in bursts: those of one burst are under way together."""
    done = ()
    while len(done) < len(before):
        free = ready(before, done)
        burst = dice.sample(free, dice.randint(1, min(len(free), WIRES)))
        yield burst
        done += tuple(burst)


def tell_shuffled(told, wires, seed):
    """Tell the session in bursts, each payload over any connection; return the bursts."""
    dice = random.Random(seed)
    told_in = list(bursts(order_of_waiting(told), dice))
    for burst in told_in:
        used = dice.sample(wires, len(burst))
        calls = [
            lambda wire=wire, place=place: told.tell_one(wire, place) for wire, place in zip(used, burst, strict=True)
        ]
        assert {answer.status for answer in together(calls)} <= {204, 202}
    return told_in


def may_have_missed(told, told_in):
    """Return the calls whose question may have come after their end: then there was nothing to ask any more."""
    when = {place: number for number, burst in enumerate(told_in) for place in burst}
    bodies = list(enumerate(told.payloads))
    missed = set()
    for place, body in bodies:
        if body["hook_event_name"] == "PermissionRequest":
            ends = [at for at, end in bodies if end.get("tool_input") == body["tool_input"] and "tool_response" in end]
            if any(when[end] <= when[place] for end in ends):
                missed |= {told.recorded_ids[told.payloads[end]["tool_use_id"]] for end in ends}
    return missed


def assert_same_end(name, told, told_in):
    drainer.run_once(timezone.now())
    (agent,) = rows_of(told)
    expected = END[name]
    commands = [{key: command[key] for key in expected["commands"][0]} for command in agent["commands"]]
    assert commands == expected["commands"]
    assert sorted(agent["turns"]) == sorted(expected["turns"])
    for key in expected.keys() - {"commands", "turns", "waits"}:
        assert agent[key] == expected[key], key
    assert all(wait["closed_by"] for wait in agent["waits"])
    # A notification before its question opened a wait without a name; the question named it, or came too late for that.
    found = [wait for wait in marks(agent["waits"]) if wait[2]]
    nameless = {wait[0] for wait in marks(agent["waits"]) if not wait[2]}
    wanted = marks(expected["waits"])
    missed = {wait for wait in wanted if wait[2] in may_have_missed(told, told_in)}
    assert len(found) == len(set(found)) and set(wanted) - missed <= set(found) <= set(wanted)
    assert nameless <= {wait[0] for wait in missed}


def marks(waits):
    return [(wait["command"], wait["asking"], wait["use_id"], wait["tool"]) for wait in waits]


def test_every_session_has_hooks_that_may_be_under_way_together(name):
    told = session(name)
    sizes = {len(burst) for seed in range(SEEDS) for burst in bursts(order_of_waiting(told), random.Random(seed))}
    assert max(sizes) > 1


@pytest.mark.parametrize("process", ["", "4711 1234 boot/1"], ids=["unnamed process", "named process"])
def test_any_race_that_a_client_allows_ends_in_the_same_rows(name, process, door):
    with door.wires(WIRES) as wires:
        for seed in range(SEEDS):
            told = session(name, process and f"{seed}{process}")
            told_in = tell_shuffled(told, wires, seed)
            try:
                assert_same_end(name, told, told_in)
            except AssertionError as error:
                moments = [[told.payloads[place]["hook_event_name"] for place in burst] for burst in told_in]
                raise AssertionError(f"seed {seed}: {moments}\n{error}") from None


def test_several_sessions_race_and_each_ends_in_its_own_rows(door):
    sessions = {name: [session(name) for _ in range(3)] for name in RECORDED}
    runs = [(name, told) for name, each in sessions.items() for told in each]

    def run(number, told):
        with door.wires(WIRES) as wires:
            return tell_shuffled(told, wires, number)

    calls = [lambda number=number, told=told: run(number, told) for number, (_, told) in enumerate(runs)]
    for (name, told), told_in in zip(runs, together(calls), strict=True):
        assert_same_end(name, told, told_in)
