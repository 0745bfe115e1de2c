"""What each recorded session must leave behind, written out by hand from its payloads.

A reason is a sentence for a person: of it, only the words stand here that it has to have. ``END`` is what holds
whatever the order of arrival and however often an event came; ``HISTORY`` is how it came there, in the client's order.
"""

COMPLETE = {"state": "complete", "inferred": False, "gaps": []}


def ended(reason, **more):
    """Return an agent that ended with its session, and of which nothing is in doubt."""
    return {
        "presence": "ended",
        "state": "idle",
        "end_reason": reason,
        "ambiguous": None,
        "generation": 1,
        "model": "",
        "session_id": more["sessions"][-1][0],
        **more,
    }


API_ERROR = ended(
    "other",
    sessions=[["7cd9635c-31e4-4a00-8118-924555fffe36", "other"]],
    commands=[
        {
            **COMPLETE,
            "prompt": "Please work. [[script:fail]]",
            "prompt_ids": ["dcb1cad9-a5e5-4fe7-b6c0-09f98f0a1a79"],
            "outcome": "failed",
        }
    ],
    turns=[
        [0, "user", "command", "Please work. [[script:fail]]"],
        [0, "agent", "completion", "API Error: 400 scripted API failure"],
    ],
    waits=[],
)

# Eight messages with calls, one of them with two at once; two calls that fail; a subagent with a call of its own. It
# is one instruction with one answer, and nobody was asked anything.
TOOLS_AND_SUBAGENT = ended(
    "other",
    sessions=[["1b860ca1-ab9a-4909-b481-26cb171bbe39", "other"]],
    commands=[
        {
            **COMPLETE,
            "prompt": "Please work. [[script:all]]",
            "prompt_ids": ["23f256a1-9b78-4e22-8e6e-4cd013a499b9"],
            "outcome": "completed",
        }
    ],
    turns=[
        [0, "user", "command", "Please work. [[script:all]]"],
        [0, "agent", "completion", "All steps are done."],
    ],
    waits=[],
)

# A permission that was given; one that Esc closed without any hook, which the compaction by hand tells; and a /clear,
# after which the same agent goes on in another session.
PERMISSION_ESC_COMPACT_CLEAR = ended(
    "prompt_input_exit",
    model="claude-opus-4-8[1m]",
    sessions=[
        ["40180217-fff1-4715-bf1b-d210d0d3feab", "clear"],
        ["33c3e85b-4cef-400e-a03e-90a0124c2c94", "prompt_input_exit"],
    ],
    commands=[
        {
            **COMPLETE,
            "prompt": "Please write. [[script:write]]",
            "prompt_ids": ["210236a4-945d-47b2-9e94-dc428f6bfc7a"],
            "outcome": "completed",
        },
        {
            **COMPLETE,
            "prompt": "Run it. [[script:bash]]",
            "prompt_ids": ["9b47303f-a6f1-4fbf-8901-f98716bb17f0"],
            "outcome": "interrupted",
        },
        {
            **COMPLETE,
            "prompt": "Hello again. [[script:text]]",
            "prompt_ids": ["11844df8-8f28-4305-9e6d-bb9ef21e84d8"],
            "outcome": "completed",
        },
    ],
    turns=[
        [0, "user", "command", "Please write. [[script:write]]"],
        [0, "agent", "completion", "Write step over."],
        [1, "user", "command", "Run it. [[script:bash]]"],
        [2, "user", "command", "Hello again. [[script:text]]"],
        [2, "agent", "completion", "Plain answer."],
    ],
    waits=[
        {
            "command": 0,
            "asking": "permission",
            "tool": "Write",
            "use_id": "toolu_8b4601506ff74e9aa1aba089",
            "text": "/home/dev/project/out.txt",
            "closed_by": "finished",
        },
        {
            "command": 1,
            "asking": "permission",
            "tool": "Bash",
            "use_id": "toolu_9d48f295ce9245b3b3fcd9ad",
            "text": "touch /home/dev/project/marker-bash && echo ran",
            "closed_by": "interrupt",
        },
    ],
)

CODEX = ended(
    "other",
    model="gpt-5-codex",
    sessions=[["01a1fff6-f377-7da0-8e13-c28e01a4dca1", "other"]],
    commands=[
        {
            **COMPLETE,
            "prompt": "Please work.",
            "prompt_ids": ["01a1fff6-f3ab-7ac1-8671-a67ae5bb16a4"],
            "outcome": "completed",
        }
    ],
    turns=[
        [0, "user", "command", "Please work."],
        [0, "agent", "completion", "Codex run is over."],
    ],
    waits=[],
)

END = {
    "headless-api-error": API_ERROR,
    "headless-tools-and-subagent": TOOLS_AND_SUBAGENT,
    "interactive-permission-esc-compact-clear": PERMISSION_ESC_COMPACT_CLEAR,
    "codex": CODEX,
}

BEGUN = [0, "idle", "commanded", "command", "instruction"]
STOPPED = ["complete", "completion", "finished"]

HISTORY = {
    # Session → each change: whose command, before, after, trigger, a word of the reason.
    "headless-api-error": [
        BEGUN,
        [0, "commanded", "processing", "progress", "answers"],
        [0, "processing", "complete", "failure", "service failed"],
        [None, "alive", "ended", "SessionEnd", "other"],
    ],
    "headless-tools-and-subagent": [
        BEGUN,
        [0, "commanded", "processing", "progress", "Bash"],
        [0, "processing", *STOPPED],
        [None, "alive", "ended", "SessionEnd", "other"],
    ],
    "interactive-permission-esc-compact-clear": [
        BEGUN,
        [0, "commanded", "processing", "progress", "Write"],
        [0, "processing", "awaiting_input", "question", "permission: Write"],
        [0, "awaiting_input", "processing", "answer", "settled"],
        [0, "processing", *STOPPED],
        [1, *BEGUN[1:]],
        [1, "commanded", "processing", "progress", "Bash"],
        [1, "processing", "awaiting_input", "question", "permission: Bash"],
        [1, "awaiting_input", "complete", "interrupt", "compacted"],
        [2, *BEGUN[1:]],
        [2, "commanded", "processing", "progress", "answers"],
        [2, "processing", *STOPPED],
        [None, "alive", "ended", "SessionEnd", "prompt_input_exit"],
    ],
    "codex": [
        BEGUN,
        [0, "commanded", "processing", "progress", "Bash"],
        [0, "processing", *STOPPED],
        [None, "alive", "ended", "SessionEnd", "other"],
    ],
}


def assert_ended_as_expected(name, agents):
    """Hold a session's agents against what must be left of it: one agent, its commands, turns, waits and sessions."""
    (agent,) = agents
    found = {key: agent[key] for key in END[name]}
    found["commands"] = [
        {key: value for key, value in command.items() if key != "reason"} for command in agent["commands"]
    ]
    assert found == END[name]
    assert agent["end_reason"] in agent["reason"]


def assert_came_as_expected(name, agents):
    """Hold every change of state against the session's history, each with its reason."""
    (agent,) = agents
    expected = HISTORY[name]
    assert [change[:4] for change in agent["changes"]] == [change[:4] for change in expected]
    for (*_, reason), (*_, words) in zip(agent["changes"], expected, strict=True):
        assert words in reason
    ends = {change[0]: change[4] for change in agent["changes"] if change[2] == "complete"}
    assert [command["reason"] for command in agent["commands"]] == [ends[place] for place in sorted(ends)]
