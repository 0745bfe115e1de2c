"""What is not sure: lost and late hooks are flagged, and a weak witness never outweighs a stop (M5)."""

import pytest

from agents.events import Asking
from agents.states import CommandState, Outcome, Presence
from tests.agents.play import (
    batch,
    compaction,
    end,
    failure,
    interrupt,
    kind,
    machine,
    notice,
    permission,
    play,
    post,
    pre,
    prompt,
    question,
    start,
    stop,
    sub_start,
    text,
)

IDLE, COMMANDED, PROCESSING = CommandState.IDLE, CommandState.COMMANDED, CommandState.PROCESSING
AWAITING = CommandState.AWAITING_INPUT
ENDED = Presence.ENDED
COMPLETED, INTERRUPTED, FAILED = Outcome.COMPLETED, Outcome.INTERRUPTED, Outcome.FAILED


ASKED = (start(), prompt(), pre("a"), permission("a"))
"""A person is asked about one call."""

# The weak witness


def test_a_notification_says_nothing_new_of_a_known_question():
    told = play(*ASKED, notice())
    assert (told.state, len(told.waits), told.ambiguous) == (AWAITING, 1, "")


@pytest.mark.parametrize("asking", [None, *Asking])
def test_a_notification_never_overrides_a_stop(asking):
    told = play(start(), prompt(), stop(), notice(asking))
    assert (told.state, told.outcomes, told.open_waits, told.ambiguous) == (IDLE, [Outcome.COMPLETED], [], "")


@pytest.mark.parametrize("asking", [None, *Asking])
def test_a_notification_before_the_stop_is_overridden_by_it(asking):
    told = play(start(), prompt(), notice(asking), stop())
    assert (told.state, told.outcomes, told.open_waits, told.ambiguous) == (IDLE, [Outcome.COMPLETED], [], "")
    assert told.command.gaps == {}


@pytest.mark.parametrize("asking", [None, *Asking])
def test_a_notification_of_an_earlier_prompt_does_not_touch_the_next_one(asking):
    told = play(start(), prompt("p1"), stop(prompt="p1"), prompt("p2"), notice(asking, prompt="p1"))
    assert (told.state, told.open_waits, told.ambiguous) == (COMMANDED, [], "")


def test_a_notification_without_a_request_is_shown_and_not_trusted():
    told = play(start(), prompt(), pre("a"), notice())
    assert (told.state, told.waited_for) == (AWAITING, [""])
    assert "no hook named" in told.ambiguous


def test_a_notification_that_echoes_an_answered_question_does_not_ask_again():
    told = play(*ASKED, post("a"), notice(), batch("a"), text())
    assert told.state is PROCESSING


def test_a_machine_that_goes_on_keeps_the_question():
    assert play(*ASKED, machine("p2")).waited_for == ["a"]


def test_a_question_in_the_last_words_leaves_nothing_open():
    told = play(start(), prompt(), stop("Shall I go on?"), notice(None))
    assert (told.state, told.open_waits, told.ambiguous) == (IDLE, [], "")


def test_an_attention_of_another_kind_is_no_permission():
    assert play(start(), notice(Asking.QUESTION)).commands == []


def test_a_permission_that_no_hook_named_after_one_that_was_is_flagged_until_nothing_runs():
    told = play(*ASKED, post("a"), pre("b"), notice())
    assert told.state is PROCESSING and told.ambiguous
    assert told.tell(pre("c"), post("c")).ambiguous
    assert told.tell(post("b")).ambiguous == ""


def test_a_notification_may_be_the_echo_of_a_question_too():
    told = play(start(), prompt(), question("q"), post("q"), pre("b"), notice())
    assert (told.state, told.open_waits) == (PROCESSING, [])


def test_a_question_that_only_a_notification_told_may_be_of_any_call_under_way():
    told = play(start(), prompt(), sub_start("s"), pre("b", sub="s"), pre("m"), notice(), post("m"))
    assert told.state is AWAITING
    assert told.tell(post("b", sub="s")).state is PROCESSING


def test_a_request_after_its_notification_names_it():
    told = play(start(), prompt(), pre("a"), notice(), permission("a"))
    assert (told.waited_for, len(told.waits), told.ambiguous) == (["a"], 1, "")


def test_a_subagents_request_after_its_notification_is_a_question_of_its_own():
    told = play(start(), prompt(), pre("A"), sub_start("s"), pre("b", sub="s"), notice(), permission("b", sub="s"))
    assert (told.waited_for, told.open_waits[0].subagent_id, told.ambiguous) == (["b"], "s", "")


def test_a_request_that_was_overtaken_by_all_takes_its_notification_back():
    told = play(start(), prompt(), pre("a"), pre("b"), notice(), batch("a"), permission("a"))
    assert (told.state, told.open_waits, told.ambiguous) == (PROCESSING, [], "")


def test_the_same_doubt_twice_is_noted_once():
    told = play(start(), prompt(), notice(None), notice(None))
    assert [move.trigger for move in told.moves].count("gap") == 1


def test_being_idle_while_somebody_is_asked_is_a_contradiction():
    assert play(*ASKED, notice(None)).ambiguous


def test_a_question_of_another_kind_is_believed_and_ends_with_the_calls():
    told = play(start(), prompt(), pre("m"), notice(Asking.QUESTION))
    assert (told.state, told.open_waits[0].asking) == (AWAITING, Asking.QUESTION)
    assert (told.last.reason, len(told.said)) == ("asks for an answer: I wait.", 1)
    assert told.tell(post("m")).state is PROCESSING


def test_work_that_goes_on_after_its_stop_is_flagged_until_it_stops_again():
    told = play(start(), prompt(), stop(), pre("a"))
    assert (told.state, told.outcomes) == (IDLE, [COMPLETED]) and "taken for over" in told.ambiguous
    assert told.tell(post("a"), stop()).ambiguous == ""


def test_a_doubt_about_the_last_prompt_ends_with_its_conversation():
    assert play(start(), prompt(), stop(), pre("a"), end("clear", prompt="p9")).ambiguous == ""


def test_a_call_that_its_batch_overtook_is_no_gap():
    assert play(start(), prompt(), pre("a"), batch("a"), post("a")).ambiguous == ""


def test_being_idle_beside_a_subagent_is_no_contradiction():
    assert play(start(), prompt(), sub_start("s"), notice(None)).ambiguous == ""


def test_a_late_request_takes_no_other_question_back():
    told = play(start(), prompt(), pre("a"), batch("a"), pre("m"), notice(Asking.QUESTION), permission("a"))
    assert told.state is AWAITING


def test_a_doubt_about_the_last_prompt_ends_with_the_next():
    assert play(start(), prompt(), stop(), pre("a"), prompt("p2")).ambiguous == ""


# Losses


def test_work_without_a_prompt_opens_an_inferred_command():
    told = play(start(), pre("a"))
    assert (told.state, told.command.inferred) == (PROCESSING, True)
    assert "prompt of this command was not seen" in told.ambiguous
    assert [move.trigger for move in told.moves].count("gap") == 1


def test_a_call_that_ends_without_a_beginning_is_flagged_until_that_comes():
    told = play(start(), prompt(), post("a"))
    assert (told.state, "not seen" in told.ambiguous) == (PROCESSING, True)
    assert (told.tell(pre("a")).situation.tools, told.ambiguous) == ({}, "")


def test_a_late_prompt_gives_an_inferred_command_its_text():
    told = play(start(), pre("a"), prompt(text="Build it."))
    assert (told.state, told.command.inferred, told.command.prompt) == (PROCESSING, False, "Build it.")
    assert (told.ambiguous, told.said) == ("", [("user", "command", "Build it.")])


def test_a_stop_without_anything_is_a_complete_inferred_command():
    told = play(start(), stop("Done."))
    assert (told.state, told.outcomes, told.command.inferred) == (IDLE, [COMPLETED], True)


def test_a_prompt_that_arrives_after_its_stop_opens_nothing():
    told = play(start(), pre("a"), stop(), prompt(text="Build it."))
    assert (told.state, told.outcomes, told.command.prompt) == (IDLE, [COMPLETED], "Build it.")
    assert (told.command.inferred, told.command.gaps) == (False, {})
    assert ("user", "command", "Build it.") in told.said


def test_work_on_an_unseen_prompt_ends_the_command_before():
    told = play(start(), prompt("p1"), pre("a"), pre("b", prompt="p2"), stop(prompt="p2"))
    assert told.outcomes == [INTERRUPTED, COMPLETED]
    assert (told.commands[0].inferred, told.commands[1].inferred) == (False, True)


def test_being_idle_without_a_stop_is_flagged_and_a_late_stop_settles_it():
    told = play(start(), prompt(), pre("a"), post("a"), notice(None))
    assert told.ambiguous
    assert (told.tell(stop()).ambiguous, told.outcomes, told.command.gaps) == ("", [COMPLETED], {})


def test_a_late_stop_says_how_the_command_ended_that_the_session_took_along():
    told = play(start(), prompt(), pre("a"), end(), stop("Done."))
    assert (told.presence, told.outcomes) == (ENDED, [COMPLETED])
    assert ("agent", "completion", "Done.") in told.said


def test_a_late_failure_says_so_too():
    told = play(start(), prompt(), end(), failure())
    assert (told.presence, told.outcomes) == (ENDED, [FAILED])


def test_a_late_stop_says_how_the_command_ended_that_a_prompt_closed():
    told = play(start(), prompt("p1"), prompt("p2"), stop(prompt="p1"))
    assert told.outcomes == [COMPLETED, None] and told.state is COMMANDED


def test_a_late_failure_says_how_the_command_ended_that_a_prompt_closed():
    assert play(start(), prompt("p1"), prompt("p2"), failure(prompt="p1")).outcomes == [FAILED, None]


@pytest.mark.parametrize(
    "late", [text(), stop(), failure(), interrupt(), compaction(True), post("a"), prompt("p1", "Again.")], ids=kind
)
def test_what_is_told_late_of_one_command_does_not_touch_the_next(late):
    told = play(start(), prompt("p1"), stop(), prompt("p2"))
    said = list(told.said)
    told.tell(late)
    assert (told.state, told.outcomes, told.said) == (COMMANDED, [COMPLETED, None], said)


def test_a_late_stop_that_names_no_prompt_tells_nothing():
    assert play(start(), prompt(), end(), stop(prompt="")).outcomes == [Outcome.ABANDONED]


def test_a_pause_ends_the_doubt_that_the_client_was_idle():
    assert play(start(), prompt(), notice(None), stop(background=["a build"])).ambiguous == ""


def test_a_stop_is_final():
    told = play(start(), prompt(), failure(), stop("Done.")).tell(failure())
    assert told.outcomes == [FAILED]
