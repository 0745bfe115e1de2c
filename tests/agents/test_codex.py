"""Codex's payload files against our events, and our decisions against the schemas of its answers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.adapters import ADAPTERS
from agents.adapters.codex import DIALECT, EVENTS
from agents.decisions import PROCEED, Allow, Ask, Deny
from agents.errors import AnomalousPayload
from agents.events import (
    CompactionStarted,
    Noted,
    PermissionRequested,
    PromptSubmitted,
    SessionEnded,
    SessionStarted,
    Speaker,
    Start,
    SubagentStarted,
    SubagentStopped,
    Tool,
    ToolFinished,
    ToolRequested,
    TurnFailed,
    TurnInterrupted,
    TurnStopped,
    Unknown,
)
from tests.agents import payload_files
from tests.agents.payload_files import NOWHERE, told

VENDOR = "codex"
ADAPTER = ADAPTERS[VENDOR]
SCHEMAS = json.loads((payload_files.ROOT / VENDOR / "schemas.json").read_text(encoding="utf-8"))

TABLE = {
    "post-tool-use.json": ToolFinished(NOWHERE, tool=Tool("Bash", use_id="call_d6dd7f424df3")),
    "pre-model-request.json": Noted(NOWHERE),
    "pre-tool-use.json": ToolRequested(NOWHERE, tool=Tool("Bash", use_id="call_d6dd7f424df3")),
    "session-end.json": SessionEnded(NOWHERE, reason="other"),
    "session-start.json": SessionStarted(NOWHERE, start=Start.STARTUP),
    "stop.json": TurnStopped(NOWHERE, text="Codex run is over."),
    "user-prompt-submit.json": PromptSubmitted(NOWHERE, text="Please work.", speaker=Speaker.PERSON),
    "written/interrupt.json": TurnInterrupted(NOWHERE),
    "written/permission-request.json": PermissionRequested(NOWHERE, tool=Tool("Bash"), text="echo hi"),
    "written/post-compact.json": Noted(NOWHERE),
    "written/pre-compact.json": CompactionStarted(NOWHERE, by_person=False),
    "written/stop-failure.json": TurnFailed(NOWHERE, error="overloaded", text="The service is overloaded."),
    "written/subagent-start.json": SubagentStarted(NOWHERE),
    "written/subagent-stop.json": SubagentStopped(NOWHERE),
}


def payload(file, **changes):
    return payload_files.payload(VENDOR, file, **changes)


def parsed(file, **changes):
    return ADAPTER.parse(payload(file, **changes))


def faults(value, schema, definitions):
    """Return what a value has against it by the part of JSON Schema that this vendor's schemas use."""
    if schema is True:
        return []
    schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    found = [fault for part in schema.get("allOf", []) for fault in faults(value, part, definitions)]
    found += [value] if "const" in schema and value != schema["const"] else []
    found += [value] if "enum" in schema and value not in schema["enum"] else []
    kinds = schema.get("type", [])
    kinds = {"object": dict, "string": str, "boolean": bool, "null": type(None)}.keys() & (
        {kinds} if isinstance(kinds, str) else set(kinds)
    )
    found += [value] if kinds and not any(is_of(value, kind) for kind in kinds) else []
    return found + (faults_inside(value, schema, definitions) if isinstance(value, dict) else [])


def is_of(value, kind):
    return isinstance(value, {"object": dict, "string": str, "boolean": bool, "null": type(None)}[kind])


def faults_inside(value, schema, definitions):
    properties = schema.get("properties", {})
    found = [f"{key} is missing" for key in schema.get("required", []) if key not in value]
    if schema.get("additionalProperties") is False:
        found += [f"{key} is too many" for key in value if key not in properties]
    inside = [(value[key], properties[key]) for key in value if key in properties]
    return found + [fault for inner, part in inside for fault in faults(inner, part, definitions)]


@pytest.mark.parametrize("file", TABLE)
def test_a_payload_becomes_its_event(file):
    assert told(parsed(file)) == TABLE[file]


def test_every_payload_file_has_its_row():
    assert payload_files.files(VENDOR) == TABLE.keys()


def test_every_moment_has_a_payload_file():
    assert {payload(file)["hook_event_name"] for file in TABLE} == EVENTS
    assert not DIALECT.noted & DIALECT.readers.keys()


@pytest.mark.parametrize("file", TABLE)
def test_a_payload_file_is_what_the_vendors_schema_allows(file):
    body = payload(file)
    if body["hook_event_name"] not in SCHEMAS["payloads"]:
        assert file in {"pre-model-request.json", "written/stop-failure.json"}
        return
    schema = SCHEMAS["payloads"][body["hook_event_name"]]
    assert faults(body, schema, schema.get("definitions", {})) == []


@pytest.mark.parametrize("file", TABLE)
def test_the_origin_is_the_payloads_with_the_turn_as_the_prompt(file):
    body, origin = payload(file), parsed(file).origin
    assert (origin.vendor, origin.session_id, origin.name) == (VENDOR, body["session_id"], body["hook_event_name"])
    assert (origin.prompt_id, origin.subagent_id) == (body.get("turn_id", ""), body.get("agent_id", ""))
    assert (origin.cwd, origin.transcript_path) == (body["cwd"], body["transcript_path"] or "")
    assert (origin.model, origin.permission_mode) == (body.get("model", ""), body.get("permission_mode", ""))


def test_a_permission_request_has_the_digest_of_its_call():
    call = parsed("pre-tool-use.json").tool
    assert call.digest == parsed("written/permission-request.json").tool.digest
    assert call.digest == parsed("post-tool-use.json").tool.digest
    assert len(call.digest) == 32


@pytest.mark.parametrize(
    ("name", "writes"),
    [("read_file", False), ("update_plan", False), ("apply_patch", True), ("Read", True), ("", True)],
)
def test_a_tool_that_is_not_known_to_only_read_writes(name, writes):
    assert parsed("pre-tool-use.json", tool_name=name).tool.writes is writes


def test_a_compaction_that_was_typed_is_a_persons():
    assert parsed("written/pre-compact.json", trigger="manual").by_person


@pytest.mark.parametrize("key", ["session_id", "hook_event_name", "turn_id", "tool_name", "tool_use_id", "agent_id"])
@pytest.mark.parametrize("wrong", [7, [], {}, False])
def test_a_field_that_rules_rest_on_must_be_a_text(key, wrong):
    with pytest.raises(AnomalousPayload, match=key):
        parsed("pre-tool-use.json", **{key: wrong})


@pytest.mark.parametrize("name", ["Notification", "PostToolBatch", "BrandNew"])
def test_a_moment_never_heard_of_is_unknown(name):
    assert type(parsed("stop.json", hook_event_name=name)) is Unknown


# Answers

REFUSED = {"permissionDecision": "deny", "permissionDecisionReason": "no"}
ANSWERS = [
    ("pre-tool-use.json", Deny("no"), REFUSED),
    ("pre-tool-use.json", Ask("no"), REFUSED),
    ("pre-tool-use.json", Allow(), None),
    ("written/permission-request.json", Allow(), {"decision": {"behavior": "allow"}}),
    ("written/permission-request.json", Deny("no"), {"decision": {"behavior": "deny", "message": "no"}}),
    ("written/permission-request.json", Ask("no"), None),
]


@pytest.mark.parametrize(("file", "decision", "fields"), ANSWERS)
def test_a_decision_becomes_its_answer(file, decision, fields):
    name = payload(file)["hook_event_name"]
    answer = fields and {"hookSpecificOutput": {"hookEventName": name, **fields}}
    assert ADAPTER.render(decision, payload(file)) == answer


@pytest.mark.parametrize("file", TABLE)
@pytest.mark.parametrize("decision", [PROCEED, Allow(), Deny("no"), Ask("no")])
def test_only_what_waits_for_a_decision_gets_one(file, decision):
    waits = {row for row, kind, fields in ANSWERS if fields and kind == decision}
    assert (ADAPTER.render(decision, payload(file)) is not None) == (file in waits)


@pytest.mark.parametrize("decision", [Allow(), Deny("no"), Deny(" "), Ask("no"), Ask("")])
@pytest.mark.parametrize("file", ["pre-tool-use.json", "written/permission-request.json"])
def test_an_answer_is_what_the_vendors_schema_allows(file, decision):
    answer = ADAPTER.render(decision, payload(file))
    schema = SCHEMAS["answers"][payload(file)["hook_event_name"]]
    assert answer is None or faults(answer, schema, schema["definitions"]) == []


@pytest.mark.parametrize(
    "answer",
    [{"extra": 1}, {"hookSpecificOutput": {}}, {"hookSpecificOutput": {"hookEventName": "Stop"}}, {"reason": 7}],
)
def test_the_schema_check_finds_what_is_wrong(answer):
    schema = SCHEMAS["answers"]["PreToolUse"]
    assert faults(answer, schema, schema["definitions"])


@pytest.mark.parametrize("decision", [Deny(""), Deny(" \n"), Ask("")])
def test_a_refusal_always_has_a_reason(decision):
    answer = ADAPTER.render(decision, payload("pre-tool-use.json"))
    assert answer["hookSpecificOutput"]["permissionDecisionReason"].strip()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["session_id", "turn_id", "agent_id", "tool_name", "tool_use_id", "tool_input", "prompt", "cwd"]
)


@settings(max_examples=200, deadline=None, database=None)
@given(body=st.dictionaries(FIELDS, VALUES), name=st.sampled_from(sorted(EVENTS)) | st.text(max_size=9))
def test_any_object_is_an_event_or_anomalous(body, name):
    try:
        event = ADAPTER.parse({"session_id": "s", **body}, name=name)
    except AnomalousPayload:
        return
    assert (type(event) is Unknown) == (event.origin.name not in EVENTS)
