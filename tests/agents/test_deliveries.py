"""By which keys a repeat of a delivery is known: the client's for ever, the content's for a short time."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.adapters import ADAPTERS
from agents.deliveries import Delivery, keys_of, neighbouring_keys
from agents.events import Origin
from agents.hosts import add_host, token_digest
from agents.intake import receive
from agents.models import Agent, HookEvent
from tests.agents.payload_files import payload

WITHIN = timedelta(seconds=5)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
STOP = Origin("claude-code", "s1", name="Stop")
CALL = payload("claude-code", "pre-tool-use.write.json")

moments = st.integers(0, 60_000).map(lambda number: NOON + timedelta(milliseconds=number))


def content_keys(now=NOON, body=b"{}", origin=STOP):
    return keys_of("", origin, body, now, WITHIN)[0]


# -- keys ---------------------------------------------------------------------


def test_a_clients_key_is_the_only_one_and_good_for_ever():
    (key,), since = keys_of("event-7", STOP, b"{}", NOON, WITHIN)
    (again,), _ = keys_of("event-7", STOP, b"{}", NOON + timedelta(days=3650), WITHIN)
    assert key == again and "event-7" in key
    assert since < NOON - timedelta(days=300_000)


def test_a_clients_key_is_never_taken_for_a_content_key():
    own = content_keys()[0]
    (key,) = keys_of(own, STOP, b"{}", NOON, WITHIN)[0]
    assert key not in content_keys() and neighbouring_keys(key) == ()


def test_a_clients_key_for_another_body_is_another_event():
    one, other = (keys_of("event-7", STOP, body, NOON, WITHIN)[0] for body in (b"{}", b'{"a":1}'))
    assert not set(one) & set(other)


@pytest.mark.parametrize("again", [b'{"a": 1, "b": "\xc3\xa9"}', b'{"b":"\\u00e9","a":1}\n'])
def test_a_clients_key_for_the_same_content_spelled_anew_is_a_repeat(again):
    one, other = (keys_of("event-7", STOP, body, NOON, WITHIN)[0] for body in (b'{"a":1,"b":"\\u00e9"}', again))
    assert one == other


def test_keys_fit_the_journals_column():
    longest = HookEvent._meta.get_field("key").max_length
    keys = (*content_keys(datetime.max.replace(tzinfo=UTC)), *keys_of("k" * 180, STOP, b"{}", NOON, WITHIN)[0])
    assert all(len(key) <= longest for key in keys)


@given(moments, moments)
def test_two_equal_bodies_within_the_time_know_each_other_whichever_was_recorded_first(one, other):
    keys = {now: content_keys(now) for now in (one, other)}
    if abs(one - other) < WITHIN:
        assert keys[one][0] in keys[other] and keys[other][0] in keys[one]
    if abs(one - other) >= 2 * WITHIN:
        assert keys[one][0] not in keys[other] and keys[other][0] not in keys[one]


@given(moments)
def test_the_neighbouring_keys_are_those_of_the_slots_before_and_after(now):
    before, after = content_keys(now - WITHIN)[0], content_keys(now + WITHIN)[0]
    assert neighbouring_keys(content_keys(now)[0]) == (before, after)


def test_a_repeat_counts_as_long_as_it_is_within_the_time():
    assert keys_of("", STOP, b"{}", NOON, WITHIN)[1] == NOON - WITHIN


@pytest.mark.parametrize(
    ("body", "origin"),
    [
        (b"{ }", STOP),
        (b"{}", Origin("claude-code", "s1", name="SessionEnd")),
        (b"{}", Origin("codex", "s1", name="Stop")),
    ],
)
def test_another_body_moment_or_vendor_is_another_event(body, origin):
    assert not set(content_keys()) & set(content_keys(body=body, origin=origin))


# -- received -----------------------------------------------------------------


@pytest.fixture
def deliver(transactional_db):
    """Receive a hook as if it had come at a moment of one's choice; return the outcome."""
    digest = token_digest(add_host("one")[1])

    def at(seconds, name="PreToolUse", key="", **changes):
        now, adapter = NOON + timedelta(seconds=seconds), ADAPTERS["claude-code"]
        body = {**CALL, "hook_event_name": name, **changes}
        event = adapter.parse(body)
        keys, since = keys_of(key, event.origin, json.dumps(body).encode(), now, WITHIN)
        return receive(Delivery(digest, adapter, body, event, keys, since, now, 100)).outcome

    return at


@pytest.mark.parametrize("begin", [0, 2.5, 4.999])
@pytest.mark.parametrize("later", [0, 0.001, 1, 4.9])
def test_equal_bytes_within_the_time_are_one_event(begin, later, deliver):
    deliver(-60, "SessionStart")
    assert [deliver(begin), deliver(begin + later)] == ["applied", "duplicate"]


def test_of_two_around_a_slots_end_one_is_applied_whichever_is_recorded_first(deliver):
    deliver(-60, "SessionStart")
    assert [deliver(5.0), deliver(4.999)] == ["applied", "duplicate"]
    assert HookEvent.objects.filter(name="PreToolUse").count() == 1


@pytest.mark.parametrize("later", [5.001, 9.9, 60, 86_400])
def test_equal_bytes_later_are_another_event(later, deliver):
    assert [deliver(0, "SessionStart"), deliver(later, "SessionStart")] == ["applied", "applied"]


def test_a_session_that_is_resumed_again_and_again_is_not_taken_for_a_repeat(deliver):
    deliver(0, "SessionStart", source="startup")
    for number in range(1, 4):
        assert deliver(number * 600, "SessionEnd", reason="other") == "applied"
        assert deliver(number * 600 + 300, "SessionStart", source="resume") == "applied"
    agent = Agent.objects.get()
    assert (agent.presence, agent.generation) == ("alive", 4)


def test_a_clients_key_is_a_repeat_after_a_year(deliver):
    year = 365 * 86_400
    assert [deliver(0, key="k"), deliver(year, key="k"), deliver(year, key="l")] == ["applied", "duplicate", "applied"]


def test_no_order_around_the_slots_applies_equal_bytes_twice_within_the_time(deliver):
    for order in itertools.permutations([4.99, 5.01, 9.99, 10.01]):
        deliver(-60, "SessionStart", session_id=str(order))
        applied = [seconds for seconds in order if deliver(seconds, session_id=str(order)) == "applied"]
        assert applied
        assert all(abs(one - other) >= 4.98 for one, other in itertools.combinations(applied, 2)), order
