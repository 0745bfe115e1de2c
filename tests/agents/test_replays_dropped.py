"""Each single hook of a session lost: the end is the same, or says what it is not sure of; no silent wrong claim."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.utils import timezone

from agents.cycles import reaper
from tests.agents.expected_rows import END
from tests.agents.replay import rows_of, session

pytestmark = pytest.mark.django_db(transaction=True)

SILENCE = timedelta(hours=1)
WIRES = 4
SAME = ""

# Session → place of the lost hook → what is said about it. By hand, from the payloads; at any other place: SAME.
LOST = {
    "headless-api-error": {
        0: "ambiguous",  # SessionStart
        1: "0 inferred",  # UserPromptSubmit: nobody knows what was said
        3: "0 abandoned",  # StopFailure: the session's end tells no more than that
        4: "unknown",  # SessionEnd: after a long silence
    },
    "headless-tools-and-subagent": {
        0: "ambiguous",
        1: "0 inferred",
        **dict.fromkeys((2, 5, 8, 11, 14, 17, 20, 21, 25, 27), "0 gap"),  # PreToolUse: the end of a call not seen
        34: "0 abandoned",  # Stop
        35: "unknown",
    },
    "interactive-permission-esc-compact-clear": {
        0: SAME,  # a later start of the same session (compact) settles it
        1: "0 inferred",
        2: "0 gap",
        3: "0 gap",  # PermissionRequest: the notification tells that a person is asked, and not what
        8: "0 interrupted",  # Stop: the next prompt tells that it is over, and not how
        9: "1 inferred",
        10: "1 gap",
        12: "1 abandoned",  # PreCompact: until /clear nothing tells of the Esc
        16: "two agents, ambiguous, unknown",  # SessionEnd (clear): nothing joins the two sessions any more
        17: "two agents, ambiguous, unknown",  # SessionStart (clear)
        18: "2 inferred",
        20: "2 abandoned",
        21: "unknown",
    },
    "codex": {
        0: "ambiguous",
        1: "0 inferred",
        3: "0 gap",
        5: "0 abandoned",
        6: "unknown",
    },
}
# With the process that a start tells, the two sessions around a /clear are one agent's without the end between them.
LOST_WITH_PROCESS = {
    "interactive-permission-esc-compact-clear": LOST["interactive-permission-esc-compact-clear"] | {16: SAME}
}


def told_without_each(name, door, process=""):
    """Tell the session once for each of its places, without the hook there; return the sessions by place."""
    count = len(session(name).payloads)
    sessions = [session(name, process and f"{place}{process}") for place in range(count)]

    def tell(number, wire):
        for lost in range(number, count, WIRES):
            sessions[lost].tell(wire, [place for place in range(count) if place != lost])

    with door.wires(WIRES) as wires, ThreadPoolExecutor(WIRES) as threads:
        list(threads.map(tell, range(WIRES), wires))
    reaper.run_once(timezone.now() + SILENCE)
    return sessions


def said(name, agents):
    """Return what is said of a session's agents that is not so of the whole session, in words."""
    commands = [command for agent in agents for command in agent["commands"]]
    words = ["two agents"] if len(agents) > 1 else []
    words += ["ambiguous"] if any(agent["ambiguous"] for agent in agents) else []
    words += ["unknown"] if any(agent["presence"] == "unknown" for agent in agents) else []
    for number, (command, whole) in enumerate(zip(commands, END[name]["commands"], strict=True)):
        words += [f"{number} inferred"] if command["inferred"] else [f"{number} gap"] if command["gaps"] else []
        words += [f"{number} {command['outcome']}"] if command["outcome"] != whole["outcome"] else []
    return ", ".join(words)


def assert_table(name, sessions, expected):
    rows = [
        (place, told.payloads[place]["hook_event_name"], expected.get(place, SAME), said(name, rows_of(told)))
        for place, told in enumerate(sessions)
    ]
    table = [f"{place:3} {moment:20} {wanted or 'same':32} {found or 'same'}" for place, moment, wanted, found in rows]
    assert all(wanted == found for _, _, wanted, found in rows), "\n".join(["lost, expected, found:", *table])


@pytest.fixture(params=END)
def name(request):
    return request.param


def test_a_loss_is_told_where_it_matters_and_nowhere_else(name, door):
    assert_table(name, told_without_each(name, door), LOST[name])


@pytest.mark.parametrize("name", LOST_WITH_PROCESS)
def test_a_process_that_is_named_tells_whose_session_it_is(name, door):
    assert_table(name, told_without_each(name, door, process=" 1234 boot/1"), LOST_WITH_PROCESS[name])


def test_what_is_claimed_after_a_loss_is_true_or_flagged_and_what_was_said_is_kept(name, door):
    for place, told in enumerate(told_without_each(name, door)):
        agents, lost = rows_of(told), told.as_recorded(told.payloads[place])
        for agent in agents:
            assert agent["state"] == "idle" and all(wait["closed_by"] for wait in agent["waits"]), place
            assert agent["presence"] == "ended" or "not heard" in agent["reason"], place
        commands = [command for agent in agents for command in agent["commands"]]
        for command, true in zip(commands, END[name]["commands"], strict=True):
            assert (command["state"], command["prompt_ids"]) == ("complete", true["prompt_ids"]), place
            assert command["prompt"] == true["prompt"] or (command["inferred"] and command["prompt"] == ""), place
            assert is_true_or_concluded(command, true, lost), (place, command)
        kept = {turn[3] for agent in agents for turn in agent["turns"]}
        gone = {turn[3] for turn in END[name]["turns"]} - kept
        assert gone <= {lost.get("prompt"), lost.get("last_assistant_message")}, place


def is_true_or_concluded(command, true, lost):
    """Say whether the end is the true one, or one that was concluded because its own witness is what was lost."""
    if command["outcome"] == true["outcome"]:
        return True
    is_its_witness = lost.get("prompt_id", lost.get("turn_id")) in true["prompt_ids"] or "trigger" in lost
    concluded = "before a stop was seen" in command["reason"]
    return command["outcome"] in ("abandoned", "interrupted") and concluded and is_its_witness


def test_a_lost_end_is_not_an_end_and_a_later_hook_is_heard_again(door):
    told = session("headless-api-error")
    with door.wire() as wire:
        told.tell(wire, range(4))
        assert rows_of(told)[0]["presence"] == "alive"
        reaper.run_once(timezone.now() + SILENCE)
        assert rows_of(told)[0]["presence"] == "unknown"
        told.tell(wire, [4])
    (agent,) = rows_of(told)
    assert (agent["presence"], agent["end_reason"]) == ("ended", "other")
    presences = [change[1:3] for change in agent["changes"] if change[0] is None]
    assert presences == [["alive", "unknown"], ["unknown", "alive"], ["alive", "ended"]]
