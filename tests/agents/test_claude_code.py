"""Every payload file of Claude Code against the event that it becomes, and every moment declared."""

import pytest

from agents.adapters import ADAPTERS
from agents.adapters.claude_code import DIALECT, EVENTS, ROUTES
from agents.events import (
    Asking,
    AttentionWanted,
    CompactionStarted,
    DirectoryChanged,
    ModelChanged,
    Noted,
    PermissionDenied,
    PermissionRequested,
    PromptSubmitted,
    SessionEnded,
    SessionStarted,
    Speaker,
    Start,
    SubagentStarted,
    SubagentStopped,
    TextShown,
    Tool,
    ToolFinished,
    ToolRequested,
    ToolsSettled,
    TurnFailed,
    TurnStopped,
    Unknown,
)
from tests.agents import payload_files
from tests.agents.payload_files import NOWHERE, told

VENDOR = "claude-code"
ADAPTER = ADAPTERS[VENDOR]

PLAN = "1. Read the code\n2. Change it"
SUMMARY_UNSURE = "Auto mode could not evaluate this action and is blocking it for safety — run with --debug for details"


def requested(name, use_id, *, text="", **rest):
    return ToolRequested(NOWHERE, tool=Tool(name, use_id=use_id, **rest), text=text)


def finished(name, use_id, *, failed=False, **rest):
    return ToolFinished(NOWHERE, tool=Tool(name, use_id=use_id, **rest), failed=failed)


def wanted(name, text, **rest):
    return PermissionRequested(NOWHERE, tool=Tool(name, **rest), text=text)


READ = {"writes": False}
QUESTION = {"writes": False, "asking": Asking.QUESTION}

TABLE = {
    "config-change.json": Noted(NOWHERE),
    "cwd-changed.json": DirectoryChanged(NOWHERE),
    "file-changed.json": Noted(NOWHERE),
    "instructions-loaded.json": Noted(NOWHERE),
    "message-display.json": TextShown(NOWHERE, text="Write step over."),
    "notification.json": AttentionWanted(NOWHERE, asking=Asking.PERMISSION, text="Claude needs your permission"),
    "permission-denied.bash.json": PermissionDenied(
        NOWHERE, tool=Tool("Bash", use_id="toolu_2103b492c0c1475fb71ad948"), reason=SUMMARY_UNSURE
    ),
    "permission-request.askuserquestion.json": wanted("AskUserQuestion", "Red or blue?", **QUESTION),
    "permission-request.bash.json": wanted("Bash", "touch /home/dev/project/marker-bash && echo ran"),
    "permission-request.write.json": wanted("Write", "/home/dev/project/out.txt"),
    "post-compact.json": Noted(NOWHERE),
    "post-tool-batch.json": ToolsSettled(NOWHERE, use_ids=("toolu_542f0cfbda4d426886b44531",)),
    "post-tool-batch.sub.json": ToolsSettled(NOWHERE, use_ids=("toolu_fa3163ade4274c69be54e110",)),
    "post-tool-use-failure.bash.json": finished("Bash", "toolu_df3ee932f4a7407eb9d26741", failed=True),
    "post-tool-use-failure.read.json": finished("Read", "toolu_e40e25414d3142a4812903cd", failed=True, **READ),
    "post-tool-use.agent.json": finished("Agent", "toolu_521ba95a23064450a22afac9", **READ),
    "post-tool-use.askuserquestion.json": finished("AskUserQuestion", "toolu_401b0a284001450fa890c2a7", **QUESTION),
    "post-tool-use.bash-sub.json": finished("Bash", "toolu_fa3163ade4274c69be54e110"),
    "post-tool-use.bash.json": finished("Bash", "toolu_10f9bce556d549048f927cb2"),
    "post-tool-use.edit.json": finished("Edit", "toolu_433ceddb7f364bd3b99ec50c"),
    "post-tool-use.read.json": finished("Read", "toolu_130a5f7dc6f24e549a13c29b", **READ),
    "post-tool-use.taskcreate.json": finished("TaskCreate", "toolu_60d7408a70a94481841804bf", **READ),
    "post-tool-use.taskupdate.json": finished("TaskUpdate", "toolu_7fb0d9a8aa2b40a8af4c737f", **READ),
    "post-tool-use.write.json": finished("Write", "toolu_542f0cfbda4d426886b44531"),
    "pre-compact.json": CompactionStarted(NOWHERE, by_person=True),
    "pre-tool-use.agent.json": requested("Agent", "toolu_521ba95a23064450a22afac9", **READ),
    "pre-tool-use.askuserquestion.json": requested(
        "AskUserQuestion", "toolu_401b0a284001450fa890c2a7", text="Red or blue?", **QUESTION
    ),
    "pre-tool-use.bash-sub.json": requested("Bash", "toolu_fa3163ade4274c69be54e110"),
    "pre-tool-use.bash.json": requested("Bash", "toolu_415abd2627ed4ff393e62c0f"),
    "pre-tool-use.edit.json": requested("Edit", "toolu_433ceddb7f364bd3b99ec50c"),
    "pre-tool-use.read.json": requested("Read", "toolu_130a5f7dc6f24e549a13c29b", **READ),
    "pre-tool-use.taskcreate.json": requested("TaskCreate", "toolu_60d7408a70a94481841804bf", **READ),
    "pre-tool-use.taskupdate.json": requested("TaskUpdate", "toolu_7fb0d9a8aa2b40a8af4c737f", **READ),
    "pre-tool-use.write.json": requested("Write", "toolu_542f0cfbda4d426886b44531"),
    "session-end.json": SessionEnded(NOWHERE, reason="clear", continues=True),
    "session-start.json": SessionStarted(NOWHERE, start=Start.STARTUP),
    "setup.json": Noted(NOWHERE),
    "stop-failure.json": TurnFailed(NOWHERE, error="unknown", text="API Error: 400 scripted API failure"),
    "stop.json": TurnStopped(NOWHERE, text="Write step over."),
    "subagent-start.json": SubagentStarted(NOWHERE),
    "subagent-stop.json": SubagentStopped(NOWHERE),
    "task-completed.json": Noted(NOWHERE),
    "task-created.json": Noted(NOWHERE),
    "user-prompt-expansion.json": Noted(NOWHERE),
    "user-prompt-submit.json": PromptSubmitted(NOWHERE, text="Please write. [[script:write]]"),
    "written/directory-added.json": Noted(NOWHERE),
    "written/elicitation-result.json": Noted(NOWHERE),
    "written/elicitation.json": Noted(NOWHERE),
    "written/notification.auth.json": Noted(NOWHERE),
    "written/notification.elicitation.json": AttentionWanted(
        NOWHERE, asking=Asking.QUESTION, text="tickets asks for input"
    ),
    "written/notification.idle.json": AttentionWanted(NOWHERE, text="Claude is waiting for your input"),
    "written/permission-request.exitplanmode.json": wanted("ExitPlanMode", PLAN, writes=False, asking=Asking.PLAN),
    "written/post-model-switch.json": ModelChanged(NOWHERE),
    "written/pre-model-switch.json": Noted(NOWHERE),
    "written/pre-tool-use.exitplanmode.json": requested(
        "ExitPlanMode", "toolu_0b7f2f8d51a94f1d8c3a52b1", text=PLAN, writes=False, asking=Asking.PLAN
    ),
    "written/pre-tool-use.mcp.json": requested("mcp__tickets__list", "toolu_5e1a9b3c7d2f4e6880a1c3d5"),
    "written/stop.background.json": TurnStopped(
        NOWHERE, text="Started it.", background=("Run the tests", "general-purpose", "Watch the log")
    ),
    "written/stop.cron.json": TurnStopped(NOWHERE, text="I look again at nine."),
    "written/teammate-idle.json": Noted(NOWHERE),
    "written/user-prompt-submit.task-notification.json": PromptSubmitted(
        NOWHERE,
        text="<task-notification>\n<task-id>b1</task-id>\n<status>completed</status>\n</task-notification>",
        speaker=Speaker.MACHINE,
    ),
    "written/user-prompt-submit.wakeup.json": PromptSubmitted(NOWHERE, text="Look again", speaker=Speaker.MACHINE),
    "written/worktree-create.json": Noted(NOWHERE),
    "written/worktree-remove.json": Noted(NOWHERE),
}

ONE_TOOL = [ToolRequested, ToolFinished, ToolsSettled]
PROMPT, STOP = [PromptSubmitted], [TextShown, TurnStopped]

SESSIONS = {
    "sessions/headless-api-error.jsonl": [SessionStarted, *PROMPT, TextShown, TurnFailed, SessionEnded],
    "sessions/headless-tools-and-subagent.jsonl": [
        *(SessionStarted, *PROMPT),
        *(ONE_TOOL * 6),
        *(ToolRequested, ToolRequested, ToolFinished, ToolFinished, ToolsSettled),
        *(ToolRequested, SubagentStarted, *ONE_TOOL, SubagentStopped, ToolFinished, ToolsSettled),
        *(*STOP, SessionEnded),
    ],
    "sessions/interactive-permission-esc-compact-clear.jsonl": [
        *(SessionStarted, *PROMPT, ToolRequested, PermissionRequested, AttentionWanted, ToolFinished, ToolsSettled),
        *(*STOP, *PROMPT, ToolRequested, PermissionRequested),
        *(CompactionStarted, SubagentStopped, SessionStarted, Noted),
        *(SessionEnded, SessionStarted, *PROMPT, *STOP, SessionEnded),
    ],
}


def payload(file, **changes):
    return payload_files.payload(VENDOR, file, **changes)


def parsed(file, **changes):
    return ADAPTER.parse(payload(file, **changes))


@pytest.mark.parametrize("file", TABLE)
def test_a_payload_becomes_its_event(file):
    assert told(parsed(file)) == TABLE[file]


@pytest.mark.parametrize("file", SESSIONS)
def test_a_recorded_session_becomes_its_events(file):
    assert [type(ADAPTER.parse(line)) for line in payload_files.lines(VENDOR, file)] == SESSIONS[file]


def test_every_payload_file_has_its_row():
    assert payload_files.files(VENDOR) == TABLE.keys() | SESSIONS.keys()


@pytest.mark.parametrize("file", TABLE)
def test_the_origin_is_the_payloads(file):
    body, origin = payload(file), parsed(file).origin
    assert (origin.vendor, origin.session_id, origin.name) == (VENDOR, body["session_id"], body["hook_event_name"])
    assert (origin.prompt_id, origin.subagent_id) == (body.get("prompt_id", ""), body.get("agent_id", ""))
    assert (origin.cwd, origin.transcript_path) == (body["cwd"], body["transcript_path"])
    assert origin.permission_mode == body.get("permission_mode", "")
    assert origin.model == {"written/post-model-switch.json": body.get("to_model")}.get(file, body.get("model", ""))
    assert (origin.process, origin.ancestors, origin.pane) == (None, (), "")


# Every moment is declared


def test_the_33_moments_are_declared_once_each():
    assert len(EVENTS) == 33
    assert not DIALECT.noted & DIALECT.readers.keys()


def test_every_moment_has_a_payload_file():
    assert {payload(file)["hook_event_name"] for file in TABLE} == EVENTS


def test_every_route_names_a_moment_that_is_used():
    assert len(ROUTES) == 8
    assert set(ROUTES.values()) <= DIALECT.readers.keys()


@pytest.mark.parametrize("name", ["BrandNew", "sessionstart", "x" * 5000])
def test_a_moment_never_heard_of_is_unknown(name):
    event = parsed("stop.json", hook_event_name=name)
    assert type(event) is Unknown
    assert event.origin.name == name[:100]


def test_the_name_in_the_address_outranks_the_payloads():
    assert type(ADAPTER.parse(payload("stop.json", hook_event_name=7), name="SessionStart")) is SessionStarted
    assert type(ADAPTER.parse({"session_id": "s"}, name="PreToolUse")) is ToolRequested
