"""Conversations and presence: what begins, goes on and ends, what comes late, and who was not heard."""

import pytest

from agents.events import Process, Start
from agents.situations import Situation
from agents.states import CommandState, Outcome, Presence
from tests.agents.play import (
    batch,
    compaction,
    end,
    failure,
    interrupt,
    kind,
    machine,
    noted,
    notice,
    permission,
    play,
    post,
    pre,
    prompt,
    start,
    stop,
    sub_start,
    sub_stop,
    text,
    unknown,
)

IDLE, COMMANDED, PROCESSING = CommandState.IDLE, CommandState.COMMANDED, CommandState.PROCESSING
ALIVE, ENDED, UNKNOWN = Presence.ALIVE, Presence.ENDED, Presence.UNKNOWN
COMPLETED, INTERRUPTED, ABANDONED = Outcome.COMPLETED, Outcome.INTERRUPTED, Outcome.ABANDONED

TASK = ["a long build"]

# Sessions


def test_an_end_abandons_what_is_open():
    told = play(start(), prompt(), pre("a"), permission("a"), end())
    assert (told.presence, told.state, told.outcomes, told.open_waits) == (ENDED, IDLE, [ABANDONED], [])
    assert told.last.session_over and told.last.end_reason == "other"
    assert told.last.reason == "session ended: other"


def test_an_end_without_a_reason_says_so():
    assert play(start(), end("")).last.reason == "session ended: no reason given"


def test_a_start_that_comes_late_ends_nothing():
    assert play(prompt(), pre("a"), start()).state is PROCESSING


def test_a_clear_goes_on_as_the_same_agent():
    told = play(start(), prompt(), stop(), end("clear", prompt="p9"))
    assert told.presence is ALIVE and told.last.session_over
    told.tell(start(Start.CLEAR, session="s2", prompt="p9"), prompt("p10", session="s2"))
    assert (told.presence, told.situation.session_id, told.situation.generation) == (ALIVE, "s2", 1)
    assert (told.state, told.ambiguous, told.late) == (COMMANDED, "", [])


def test_the_end_of_the_old_conversation_does_not_end_the_new_one():
    told = play(start(session="s1"), start(Start.CLEAR, session="s2"), end("clear", session="s1", prompt="p9"))
    assert (told.presence, told.situation.session_id) == (ALIVE, "s2")
    assert told.tell(end("other", session="s1", prompt="p9")).presence is ALIVE


def test_a_command_does_not_outlive_its_conversation():
    told = play(start(), prompt("p1"), pre("a"), start(Start.CLEAR, session="s2", prompt="p9"))
    assert told.state is IDLE and told.outcomes[0] in (INTERRUPTED, ABANDONED)


def test_what_the_old_conversation_still_says_changes_nothing():
    told = play(start(), prompt("p1"), end("clear"), start(Start.CLEAR, session="s2", prompt="p9"))
    told.tell(pre("a", prompt="p1"), post("a", prompt="p1"), notice(prompt="p1"))
    assert (told.state, len(told.commands), told.open_waits, told.situation.session_id) == (IDLE, 1, [], "s2")


def test_a_resume_after_the_end_is_a_new_generation():
    told = play(start(), prompt(), stop(), end(), start(Start.RESUME), prompt("p2"))
    assert (told.presence, told.situation.generation, told.state) == (ALIVE, 2, COMMANDED)
    assert not told.late


def test_a_resume_after_a_loss_is_a_new_generation():
    told = play(start(), prompt()).lose().tell(start(Start.RESUME))
    assert (told.presence, told.situation.generation, told.state) == (ALIVE, 2, IDLE)


def test_a_fork_goes_on_with_another_conversation():
    told = play(start(), prompt(), stop(), start(Start.FORK, session="s2"))
    assert (told.presence, told.situation.session_id, told.state) == (ALIVE, "s2", IDLE)


def test_a_compaction_keeps_session_and_command():
    told = play(start(), prompt(), pre("a"), post("a"), compaction(), sub_stop("x"), start(Start.COMPACT), noted())
    assert (told.state, told.situation.session_id, told.situation.generation) == (PROCESSING, "s1", 1)
    assert told.tell(stop()).outcomes == [COMPLETED]


def test_a_compaction_by_a_person_shows_that_nothing_ran():
    told = play(start(), prompt("p1"), pre("a"), permission("a"), compaction(by_person=True, prompt="p9"))
    assert (told.state, told.outcomes, told.open_waits) == (IDLE, [INTERRUPTED], [])
    told.tell(sub_stop("x", prompt="p9"), start(Start.COMPACT, prompt="p9"), noted(prompt="p9"))
    assert (told.state, len(told.commands), told.ambiguous) == (IDLE, 1, "")


def test_a_session_whose_start_was_lost_is_followed():
    assert play(prompt(), pre("a"), post("a"), stop()).outcomes == [COMPLETED]


# Two conversations


def test_an_earlier_conversation_that_goes_on_is_flagged_and_touches_nothing():
    told = play(start(), prompt("p1"), end("clear"), start(Start.CLEAR, session="s2"), prompt("p2", session="s2"))
    told.tell(prompt("p3", session="s1"), pre("a", prompt="p3", session="s1"))
    assert (told.state, told.situation.session_id, len(told.commands)) == (COMMANDED, "s2", 2)
    assert "earlier conversation" in told.ambiguous


def test_a_late_stop_in_the_earlier_conversation_says_how_its_command_ended():
    told = play(start(), prompt("p1"), pre("a"), start(Start.CLEAR, session="s2"), stop(prompt="p1", session="s1"))
    assert (told.outcomes, told.ambiguous) == ([COMPLETED], "")


def test_what_is_no_work_of_the_earlier_conversation_raises_no_doubt():
    told = play(start(), start(Start.CLEAR, session="s2"), sub_stop("x", prompt="p9"), noted(prompt="p9"), compaction())
    assert told.ambiguous == ""


def test_the_doubt_ends_with_the_earlier_conversation():
    told = play(start(), start(Start.CLEAR, session="s2"), prompt("p3", session="s1"), end(session="s1"))
    assert (told.presence, told.ambiguous) == (ALIVE, "")


def test_another_process_goes_on_with_the_conversation_as_a_new_generation():
    mine, other = Process(7, "100", "here"), Process(8, "200", "here")
    told = play(start(process=mine), prompt(), pre("a"), start(Start.RESUME, process=other))
    assert (told.situation.generation, told.situation.process, told.outcomes) == (2, other, [ABANDONED])


def test_the_same_process_goes_on_as_the_same_generation():
    mine = Process(7, "100", "here")
    told = play(start(process=mine), prompt(), start(Start.RESUME, process=mine), start(Start.RESUME))
    assert (told.situation.generation, told.situation.process, told.outcomes) == (1, mine, [ABANDONED])


def test_another_process_that_starts_ends_what_the_first_had_open():
    told = play(start(process=Process(7, "100", "here")), prompt(), start(process=Process(8, "200", "here")))
    assert (told.situation.generation, told.outcomes) == (2, [ABANDONED])


def test_the_end_of_a_command_is_the_same_whichever_session_is_heard_first():
    one = play(start(), prompt(), pre("a"), end("clear"), start(Start.CLEAR, session="s2"))
    other = play(start(), prompt(), pre("a"), start(Start.CLEAR, session="s2"), end("clear"))
    assert one.outcomes == other.outcomes and one.situation == other.situation


# After the end


AFTER = [
    *(start(), start(Start.COMPACT), prompt(), prompt("p2"), machine(), pre("a"), post("a"), batch("a")),
    *(permission("a"), notice(), notice(None), text(), stop(), failure(), interrupt(), end(), compaction(True)),
    *(sub_start("s"), sub_stop("s"), pre("b", sub="s"), noted(), unknown()),
]


@pytest.mark.parametrize("told", AFTER, ids=kind)
@pytest.mark.parametrize("before", [[], [prompt()], [prompt(), stop()], [prompt(), permission("a")]], ids=len)
def test_everything_after_the_end_is_late(before, told):
    story = play(start(), *before, end())
    commands = len(story.commands)
    story.tell(told)
    assert story.late == [told]
    assert (story.presence, story.state, story.open_waits, len(story.commands)) == (ENDED, IDLE, [], commands)


@pytest.mark.parametrize("told", [prompt("p2"), pre("a", prompt="p2"), stop(prompt="p2")], ids=kind)
def test_work_on_a_new_prompt_after_the_end_is_flagged(told):
    story = play(start(), prompt(), end(), told)
    assert (story.presence, len(story.commands)) == (ENDED, 1) and "taken for ended" in story.ambiguous
    assert story.tell(start(Start.RESUME)).ambiguous == ""


def test_a_call_after_the_end_is_flagged_because_the_client_waited_for_us():
    story = play(start(), prompt(), end(), pre("a"))
    assert (story.presence, len(story.commands)) == (ENDED, 1) and "taken for ended" in story.ambiguous


@pytest.mark.parametrize(
    "told",
    [
        post("a"),
        pre("b", sub="s"),
        stop(),
        notice(),
        text(),
        prompt("p2", sub="s"),
        pre("a", prompt=""),
        noted(prompt="p9"),
    ],
    ids=kind,
)
def test_what_only_comes_late_is_not(told):
    assert play(start(), prompt(), end(), told).ambiguous == ""


def test_a_subagents_late_stop_tells_nothing_of_the_agent():
    assert play(start(), prompt(), end(), stop(sub="s")).outcomes == [ABANDONED]


def test_a_late_stop_of_an_earlier_prompt_is_no_end():
    told = play(start(), prompt("p1"), machine("p2"), end(prompt="p2"), stop(background=TASK, prompt="p1"))
    assert told.outcomes == [ABANDONED]
    assert told.tell(stop(prompt="p2")).outcomes == [COMPLETED]


def test_a_second_loss_changes_nothing():
    told = play(start(), end("logout")).lose()
    assert (told.last.moves, told.last.session_over, told.last.end_reason) == ((), False, "")


# Silence


def test_silence_labels_an_agent_and_touches_no_command():
    told = play(start(), prompt(), pre("a")).miss("silent for 2 h")
    assert (told.presence, told.state, told.outcomes) == (UNKNOWN, PROCESSING, [None])
    assert "silent for 2 h" in told.last.reason


def test_a_silent_agent_that_is_heard_again_is_alive():
    told = play(start(), prompt(), pre("a")).miss().tell(post("a"))
    assert (told.presence, told.state) == (ALIVE, PROCESSING)
    assert [move.after for move in told.moves][-2:] == [UNKNOWN, ALIVE]


def test_an_ended_agent_is_not_silent():
    assert play(start(), end()).miss().presence is ENDED


def test_the_first_event_names_the_session_of_an_agent_that_has_none():
    assert play(start(session="s7"), situation=Situation()).situation.session_id == "s7"


@pytest.mark.parametrize("told", [noted(), post("a")], ids=kind)
def test_who_is_heard_again_is_not_said_to_be_silent(told):
    assert play(start(), prompt(), pre("a")).miss("silent").tell(told).last.reason


def test_who_comes_back_is_not_said_to_have_ended():
    assert play(start(), end(), start(Start.RESUME)).last.reason == "session resume"
