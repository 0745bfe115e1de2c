"""Our decisions as Claude Code's answers, and the adapter against any object at all."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.adapters import ADAPTERS
from agents.adapters.claude_code import EVENTS
from agents.decisions import PROCEED, Allow, Ask, Deny
from agents.errors import AnomalousPayload
from agents.events import Unknown
from tests.agents import payload_files

VENDOR = "claude-code"
ADAPTER = ADAPTERS[VENDOR]
FILES = sorted(file for file in payload_files.files(VENDOR) if file.endswith(".json"))


def payload(file, **changes):
    return payload_files.payload(VENDOR, file, **changes)


# Answers

ANSWERS = [
    ("pre-tool-use.bash.json", Deny("no"), {"permissionDecision": "deny", "permissionDecisionReason": "no"}),
    ("pre-tool-use.bash.json", Ask("sure?"), {"permissionDecision": "ask", "permissionDecisionReason": "sure?"}),
    ("pre-tool-use.bash.json", Allow(), {"permissionDecision": "allow"}),
    (
        "pre-tool-use.askuserquestion.json",
        Deny("no"),
        {"permissionDecision": "deny", "permissionDecisionReason": "no"},
    ),
    ("written/pre-tool-use.exitplanmode.json", Allow(), {"permissionDecision": "allow"}),
    ("permission-request.write.json", Allow(), {"decision": {"behavior": "allow"}}),
    ("permission-request.write.json", Deny("no"), {"decision": {"behavior": "deny", "message": "no"}}),
    ("permission-request.askuserquestion.json", Deny("no"), {"decision": {"behavior": "deny", "message": "no"}}),
]


@pytest.mark.parametrize(("file", "decision", "fields"), ANSWERS)
def test_a_decision_becomes_its_answer(file, decision, fields):
    body = payload(file)
    answer = {"hookSpecificOutput": {"hookEventName": body["hook_event_name"], **fields}}
    assert ADAPTER.render(decision, body) == answer
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize("file", FILES)
def test_no_opinion_is_no_body(file):
    assert ADAPTER.render(PROCEED, payload(file)) is None


@pytest.mark.parametrize(
    "file", [file for file in FILES if "pre-tool-use" not in file and "permission-request" not in file]
)
@pytest.mark.parametrize("decision", [Allow(), Deny("no"), Ask("sure?")])
def test_a_moment_that_waits_for_no_decision_gets_none(file, decision):
    assert ADAPTER.render(decision, payload(file)) is None


def test_a_person_who_is_being_asked_already_is_not_asked_again():
    assert ADAPTER.render(Ask("sure?"), payload("permission-request.bash.json")) is None


@pytest.mark.parametrize("file", ["pre-tool-use.askuserquestion.json", "permission-request.askuserquestion.json"])
def test_a_question_is_never_let_pass_without_its_answer(file):
    assert ADAPTER.render(Allow(), payload(file)) is None


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_refusal_always_has_a_reason(reason):
    before = ADAPTER.render(Deny(reason), payload("pre-tool-use.bash.json"))
    assert before["hookSpecificOutput"]["permissionDecisionReason"].strip()
    asked = ADAPTER.render(Deny(reason), payload("permission-request.bash.json"))
    assert asked["hookSpecificOutput"]["decision"]["message"].strip()


def test_the_address_names_the_moment_of_an_answer_too():
    answer = ADAPTER.render(Deny("no"), {"session_id": "s"}, name="PreToolUse")
    assert answer["hookSpecificOutput"]["hookEventName"] == "PreToolUse"


# Anything at all

FIELDS = st.sampled_from(
    [
        *("session_id", "hook_event_name", "prompt_id", "agent_id", "cwd", "model", "prompt", "source", "reason"),
        *("tool_name", "tool_use_id", "tool_input", "tool_calls", "background_tasks", "trigger", "delta", "error"),
        *("notification_type", "message", "new_cwd", "to_model"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["AskUserQuestion", "ExitPlanMode", "questions", "plan", "running", "manual"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | FIELDS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(sorted(EVENTS)) | st.text(max_size=9)


@settings(max_examples=400, deadline=None, database=None)
@given(body=st.dictionaries(FIELDS, VALUES), name=NAMES)
def test_any_object_is_an_event_or_anomalous(body, name):
    try:
        event = ADAPTER.parse({"session_id": "s", **body}, name=name)
    except AnomalousPayload:
        return
    assert event.origin.session_id
    assert (type(event) is Unknown) == (event.origin.name not in EVENTS)


@settings(max_examples=200, deadline=None, database=None)
@given(
    body=st.dictionaries(FIELDS, VALUES),
    moment=st.sampled_from(["PreToolUse", "PermissionRequest"]) | NAMES,
    decision=st.sampled_from([PROCEED, Allow(), Deny(""), Ask("")]),
)
def test_an_answer_never_fails_and_is_of_its_moment(body, moment, decision):
    answer = ADAPTER.render(decision, {**body, "hook_event_name": moment})
    assert answer is None or answer["hookSpecificOutput"]["hookEventName"] == moment
