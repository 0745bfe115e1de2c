"""Any JSON object at a hook's address: applied, or refused as what it is; never an error of ours."""

import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.models import Agent, HookEvent, Project
from tests.agents.payload_files import files, payload

pytestmark = pytest.mark.django_db(transaction=True)

CALL = payload("claude-code", "pre-tool-use.write.json")
MOMENTS = {
    vendor: [payload(vendor, file) for file in sorted(files(vendor)) if not file.startswith("sessions/")]
    for vendor in ("claude-code", "codex")
}
DENSE = "".join(random.Random(7).choices([chr(code) for code in range(0x4E00, 0x9FFF)], k=1024))
"""A text that takes 3 bytes a character, and that nothing makes shorter."""
WRONG = [None, True, -1.5, 10**30, "", "x" * 5000, "\0\ud800", DENSE, [], [None, [7]], {}, {"a": [{}]}]
BASE = {"session_id", "hook_event_name", "transcript_path", "cwd", "permission_mode", "effort"}
WIRES = 4


def fields():
    """Yield each field of each moment once, and the fields that all have in common."""
    seen = set()
    for vendor, payloads in MOMENTS.items():
        for body in payloads:
            for field in body:
                mark = (vendor, "" if field in BASE else body.get("hook_event_name"), field)
                if mark not in seen:
                    seen.add(mark)
                    yield vendor, body, field


def send_all(door, cases):
    """Send (vendor, body) over some connections and return (body, answer)."""

    def send(wire, mine):
        return [(body, wire.post(body, vendor)) for vendor, body in mine]

    with door.wires(WIRES) as wires, ThreadPoolExecutor(WIRES) as threads:
        shares = [cases[number::WIRES] for number in range(WIRES)]
        return list(itertools.chain.from_iterable(threads.map(send, wires, shares)))


def assert_sane(body, answer):
    """Hold an answer to an agent that is free to do anything against what there is."""
    words = json.dumps(body)[:300]
    assert answer.status in (204, 400), (words, answer)
    if answer.status == 204:
        assert answer.body == b"" and answer.outcome in ("applied", "late", "unsupported", "duplicate"), words
    else:
        assert answer.document["code"] in ("anomalous_payload", "not_json"), words


def test_a_wrong_type_in_any_field_is_no_error_of_ours(door):
    cases = [
        (vendor, {**body, "session_id": f"s{number}", field: wrong})
        for number, (vendor, body, field) in enumerate(fields())
        for wrong in WRONG
    ]
    assert len(cases) > 1000
    answers = send_all(door, cases)
    for body, answer in answers:
        assert_sane(body, answer)
    assert {answer.status for _, answer in answers} == {204, 400}
    assert not [body for body, answer in answers if answer.outcome == "duplicate"]
    accepted = sum(answer.status == 204 for _, answer in answers)
    assert HookEvent.objects.exclude(outcome="refused").count() == accepted
    assert HookEvent.objects.filter(outcome="refused").count() == len(answers) - accepted


@pytest.mark.parametrize("field", ["session_id", "prompt_id", "agent_id", "tool_name", "tool_use_id"])
def test_a_field_that_rules_rest_on_is_refused_by_its_name_when_it_is_no_text(field, door):
    with door.wire() as wire:
        for wrong in (7, True, 1.5, [], {}, ["s"], {"id": "s"}, "x" * 201):
            answer = wire.post(CALL | {field: wrong})
            assert (answer.status, answer.document["code"]) == (400, "anomalous_payload")
            assert field in answer.document["detail"]
    assert not Agent.objects.exists()


@pytest.mark.parametrize("calls", [None, 7, "toolu_1", {}, [7], [None], ["toolu_1"], [{"tool_use_id": 7}]])
def test_a_list_of_calls_that_cannot_be_read_whole_is_refused(calls, door):
    with door.wire() as wire:
        answer = wire.post(payload("claude-code", "post-tool-batch.json", tool_calls=calls))
    assert (answer.status, answer.document["code"]) == (400, "anomalous_payload")


def test_a_field_that_only_describes_is_as_good_as_untold_when_it_is_no_text(door):
    for number, wrong in enumerate((7, [], {}, True, None)):
        described = dict.fromkeys(("cwd", "transcript_path", "model", "permission_mode", "effort"), wrong)
        with door.wire() as wire:
            assert wire.post(CALL | described | {"session_id": f"s{number}"}).outcome == "applied"
    agents = Agent.objects.values_list("cwd", "transcript_path", "model", "permission_mode")
    assert set(agents) == {("", "", "", "")}


def test_a_long_dense_text_fits_every_field_that_an_index_covers(door):
    dense = dict.fromkeys(("session_id", "prompt_id", "agent_id", "tool_use_id", "tool_name"), DENSE[:200])
    started = {"hook_event_name": "SessionStart", "cwd": f"/{DENSE[:1000]}", "transcript_path": f"/{DENSE[:1000]}"}
    with door.wire() as wire:
        assert wire.post(CALL | dense | started).outcome == "applied"
        assert wire.post(CALL | dense).outcome == "applied"
        assert wire.post(CALL | dense | {"hook_event_name": DENSE}).outcome == "unsupported"
        ended = dense | {"hook_event_name": "SessionEnd", "reason": DENSE}
        assert wire.post(CALL | ended).outcome == "applied"
    assert Project.objects.count() == Agent.objects.count() == 1


# -- anything -----------------------------------------------------------------

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
moments = st.sampled_from(sorted({body["hook_event_name"] for body in MOMENTS["claude-code"]}))
hooks = st.fixed_dictionaries(
    {"session_id": st.sampled_from(["s1", "s2", "s3"]) | values, "hook_event_name": moments | values},
    optional={field: values for _, _, field in fields() if field not in ("session_id", "hook_event_name")},
)


def test_no_object_whatsoever_is_an_error_of_ours(door):
    with door.wire() as wire:

        @given(hooks | st.dictionaries(texts, values, max_size=5))
        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
        def any_object(body):
            for vendor in MOMENTS:
                assert_sane(body, wire.post(body, vendor))

        any_object()


def test_no_object_whatsoever_is_an_error_of_ours_when_the_agents_are_held(door):
    with door.wire() as wire:
        for session_id in ("s1", "s2", "s3"):
            wire.post(CALL | {"session_id": session_id})
        Agent.objects.update(mode="hold")

        @given(hooks)
        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
        def any_object(body):
            answer = wire.post(body)
            assert answer.status in (200, 204, 400)
            if answer.status == 200:
                assert body["hook_event_name"] in ("PreToolUse", "PermissionRequest")
                assert "deny" in json.dumps(answer.document)

        any_object()


bodies = (
    st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | values.map(lambda one: json.dumps(one).encode())
)


def test_no_body_whatsoever_is_an_error_of_ours(door):
    with door.wire() as wire:

        @given(bodies)
        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
        def any_body(body):
            assert wire.post(body).status in (204, 400)

        any_body()
