"""What Claude Code's single fields mean, and what becomes of them when they are wrong."""

import pytest

from agents.adapters import ADAPTERS
from agents.errors import AnomalousPayload
from agents.events import Asking, Noted, Speaker, Start
from tests.agents import payload_files

VENDOR = "claude-code"
ADAPTER = ADAPTERS[VENDOR]


def payload(file, **changes):
    return payload_files.payload(VENDOR, file, **changes)


def parsed(file, **changes):
    return ADAPTER.parse(payload(file, **changes))


# Prompts


@pytest.mark.parametrize("source", ["system", "loop_wakeup", "schedule_wakeup", "poll_event"])
def test_a_prompt_from_a_machine_source_is_the_machines(source):
    assert parsed("user-prompt-submit.json", source=source).speaker is Speaker.MACHINE


@pytest.mark.parametrize("source", ["user", "sdk"])
def test_a_prompt_from_a_persons_source_is_theirs_whatever_it_says(source):
    event = parsed("user-prompt-submit.json", source=source, prompt="<task-notification>\n")
    assert event.speaker is Speaker.PERSON


@pytest.mark.parametrize(
    "prompt", ["What is <task-notification>?", "<task-notifications> is a tag?", "<b>bold</b>", "", " <"]
)
def test_a_person_may_write_of_a_machines_tag(prompt):
    assert parsed("user-prompt-submit.json", prompt=prompt).speaker is Speaker.PERSON


@pytest.mark.parametrize("prompt", ["\n<task-notification>x", '<teammate-message teammate_id="a">x'])
def test_a_prompt_that_begins_with_a_machines_tag_is_the_machines(prompt):
    assert parsed("user-prompt-submit.json", prompt=prompt).speaker is Speaker.MACHINE


# Tools


@pytest.mark.parametrize("tool", ["write", "bash", "askuserquestion"])
def test_a_permission_request_has_the_digest_of_its_call(tool):
    call, request = parsed(f"pre-tool-use.{tool}.json").tool, parsed(f"permission-request.{tool}.json").tool
    assert len(call.digest) == 32
    assert call.digest == request.digest


def test_the_digest_takes_no_notice_of_the_order_of_keys():
    body = payload("pre-tool-use.edit.json")
    turned = {**body, "tool_input": dict(reversed(body["tool_input"].items()))}
    assert ADAPTER.parse(turned).tool.digest == ADAPTER.parse(body).tool.digest


@pytest.mark.parametrize(
    "changes", [{"tool_input": {"command": "ls -l"}}, {"tool_name": "Shell"}, {"tool_input": None}]
)
def test_another_call_has_another_digest(changes):
    assert parsed("pre-tool-use.bash.json", **changes).tool.digest != parsed("pre-tool-use.bash.json").tool.digest


@pytest.mark.parametrize("name", ["Bash", "Write", "MultiEdit", "mcp__docs__search", "read", "Next", ""])
def test_a_tool_that_is_not_known_to_only_read_writes(name):
    assert parsed("pre-tool-use.read.json", tool_name=name).tool.writes


def test_a_tool_without_a_name_writes():
    assert (
        ADAPTER.parse({"session_id": "s", "hook_event_name": "PreToolUse"}).tool
        == parsed("pre-tool-use.read.json", tool_name=None, tool_use_id=None, tool_input=None).tool
    )


def test_several_questions_come_line_by_line():
    questions = [{"question": "Red?"}, "no question", {"question": 7}, {"question": "Round?"}]
    assert parsed("pre-tool-use.askuserquestion.json", tool_input={"questions": questions}).text == "Red?\nRound?"


@pytest.mark.parametrize(
    ("tool_input", "text"),
    [({"a": [1, "é"]}, '{"a": [1, "é"]}'), ({}, ""), (None, ""), ("rm", ""), ({"command": "", "url": "u"}, "u")],
)
def test_a_permission_request_says_what_it_is_about(tool_input, text):
    assert parsed("permission-request.bash.json", tool_input=tool_input).text == text


def test_a_failure_tells_whether_it_was_interrupted():
    assert parsed("post-tool-use-failure.bash.json", is_interrupt=True).interrupted
    assert not parsed("post-tool-use-failure.bash.json", is_interrupt="yes").interrupted


# Stops, notifications, sessions


@pytest.mark.parametrize("status", ["running", "pending", "", None, "napping"])
def test_a_background_task_that_is_not_over_runs(status):
    event = parsed("stop.json", background_tasks=[{"description": "Build", "status": status}])
    assert event.background == ("Build",)


@pytest.mark.parametrize("status", ["completed", "failed", "killed"])
def test_a_background_task_that_is_over_does_not_run(status):
    assert parsed("stop.json", background_tasks=[{"description": "Build", "status": status}]).background == ()


def test_a_background_task_that_nobody_describes_still_runs():
    assert parsed("stop.json", background_tasks=[{}]).background == ("background task",)


@pytest.mark.parametrize("tasks", [None, "running", 7, {"status": "running"}, [7, "x"]])
def test_background_tasks_of_another_type_are_none(tasks):
    assert parsed("stop.json", background_tasks=tasks).background == ()


@pytest.mark.parametrize("kind", ["elicitation_dialog", "elicitation_url_dialog", "agent_needs_input"])
def test_a_notification_of_a_question_wants_attention_for_it(kind):
    assert parsed("notification.json", notification_type=kind).asking is Asking.QUESTION


@pytest.mark.parametrize("kind", ["auth_success", "elicitation_complete", "agent_completed", "new", "", None, 7])
def test_a_notification_of_something_else_is_noted(kind):
    assert type(parsed("notification.json", notification_type=kind)) is Noted


@pytest.mark.parametrize("reason", ["resume", "clear"])
def test_a_session_that_makes_room_for_another_continues(reason):
    assert parsed("session-end.json", reason=reason).continues


@pytest.mark.parametrize("reason", ["logout", "prompt_input_exit", "other", "new", 7])
def test_a_session_that_ends_for_good_does_not_continue(reason):
    assert not parsed("session-end.json", reason=reason).continues


@pytest.mark.parametrize("start", Start)
def test_a_session_starts_for_the_reason_it_tells(start):
    assert parsed("session-start.json", source=start.value).start is start


@pytest.mark.parametrize("source", ["new", None, 7, []])
def test_a_session_that_tells_no_known_reason_just_starts(source):
    assert parsed("session-start.json", source=source).start is Start.STARTUP


def test_a_compaction_that_the_client_began_is_no_persons():
    assert not parsed("pre-compact.json", trigger="auto").by_person


def test_a_subagents_words_are_only_noted():
    assert type(parsed("message-display.json", agent_id="a1")) is Noted


def test_a_change_of_place_is_told_by_the_place_it_leads_to():
    assert parsed("cwd-changed.json", new_cwd="/home/dev/other").origin.cwd == "/home/dev/other"


def test_a_change_that_names_no_place_or_model_keeps_the_old_one():
    assert parsed("cwd-changed.json", new_cwd=None).origin.cwd == "/home/dev/project/subdir"
    assert parsed("written/post-model-switch.json", to_model=7, model="m").origin.model == "m"


def test_a_failed_turn_without_words_takes_its_details():
    assert parsed("stop-failure.json", last_assistant_message=None, error_details="500").text == "500"


# Wrong types


@pytest.mark.parametrize("wrong", [7, True, [], {}, 1.5])
@pytest.mark.parametrize("key", ["session_id", "hook_event_name", "tool_name", "tool_use_id", "prompt_id", "agent_id"])
def test_a_field_that_rules_rest_on_must_be_a_text(key, wrong):
    with pytest.raises(AnomalousPayload, match=key):
        parsed("pre-tool-use.bash.json", **{key: wrong})


@pytest.mark.parametrize("key", ["session_id", "hook_event_name"])
@pytest.mark.parametrize("missing", [None, ""])
def test_a_payload_names_its_session_and_its_moment(key, missing):
    with pytest.raises(AnomalousPayload, match=key):
        parsed("stop.json", **{key: missing})


@pytest.mark.parametrize("key", ["session_id", "tool_name", "tool_use_id", "prompt_id", "agent_id"])
def test_an_id_may_have_200_characters_and_no_more(key):
    parsed("pre-tool-use.bash.json", **{key: "x" * 200})
    with pytest.raises(AnomalousPayload, match=key):
        parsed("pre-tool-use.bash.json", **{key: "x" * 201})


@pytest.mark.parametrize("calls", ["x", 7, {}, None, [7], [{"tool_use_id": 7}]])
def test_a_batch_that_cannot_be_read_whole_is_refused(calls):
    with pytest.raises(AnomalousPayload, match="tool_"):
        parsed("post-tool-batch.json", tool_calls=calls)


@pytest.mark.parametrize("key", ["cwd", "transcript_path", "permission_mode", "model"])
@pytest.mark.parametrize("wrong", [None, 7, [], {}])
def test_a_field_that_only_describes_is_empty_when_it_is_no_text(key, wrong):
    assert getattr(parsed("session-start.json", **{key: wrong}).origin, key) == ""


def test_what_is_only_shown_is_cut_and_a_path_is_whole_or_untold():
    origin = parsed("session-start.json", model="m" * 101, cwd="/" * 1025, transcript_path="/" * 1024).origin
    assert (len(origin.model), origin.cwd, len(origin.transcript_path)) == (100, "", 1024)
