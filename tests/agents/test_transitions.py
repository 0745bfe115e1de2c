"""The rules as stories: what an agent does, in one line, and what is known of it then."""

import pytest

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
AWAITING, COMPLETE = CommandState.AWAITING_INPUT, CommandState.COMPLETE
ENDED = Presence.ENDED
COMPLETED, INTERRUPTED, FAILED, ABANDONED = Outcome

TASK = ["a long build"]

# One answer


def test_a_prompt_opens_a_command():
    told = play(start(), prompt(text="Build it."))
    assert (told.state, told.command.prompt, told.command.inferred) == (COMMANDED, "Build it.", False)
    assert told.said == [("user", "command", "Build it.")]


def test_a_tool_call_is_progress():
    assert play(start(), prompt(), pre("a")).state is PROCESSING


def test_text_is_progress():
    assert play(start(), prompt(), text()).state is PROCESSING


def test_a_stop_completes_the_command_with_its_last_words():
    told = play(start(), prompt(), pre("a"), post("a"), batch("a"), text(), stop("All done."))
    assert (told.state, told.outcomes, told.ambiguous) == (IDLE, [COMPLETED], "")
    assert told.said[-1] == ("agent", "completion", "All done.")


def test_what_a_person_adds_to_a_prompt_is_an_answer():
    told = play(start(), prompt("p1", "Do it."), pre("a"), prompt("p1", "Yes."))
    assert (told.said[-1], told.command.prompt) == (("user", "answer", "Yes."), "Do it.")


def test_who_says_nothing_has_no_turn():
    assert play(start(), prompt(text=""), stop("")).said == []


def test_every_move_says_why():
    told = play(start(), prompt(), pre("a"), permission("a"), post("a"), stop(background=TASK), stop(), end())
    assert all(move.reason and move.before != move.after for move in told.moves)
    path = [COMMANDED, PROCESSING, AWAITING, PROCESSING, COMPLETE]
    assert [move.after for move in told.moves if move.command is not None] == path
    assert [move.after for move in told.moves if move.command is None] == [ENDED]


def test_the_next_prompt_is_a_command_of_its_own():
    told = play(start(), prompt("p1"), stop(prompt="p1"), prompt("p2"), stop(prompt="p2"))
    assert told.outcomes == [COMPLETED, COMPLETED] and [row.prompt_ids for row in told.commands] == [("p1",), ("p2",)]


def test_equal_words_twice_are_two_commands():
    told = play(start(), prompt("p1", "go on"), stop(prompt="p1"), prompt("p2", "go on"), stop(prompt="p2"))
    assert [row.prompt for row in told.commands] == ["go on", "go on"]


def test_a_client_that_numbers_no_prompts_is_followed_too():
    told = play(prompt(""), pre("a", prompt=""), post("a", prompt=""), stop(prompt=""), prompt(""), stop(prompt=""))
    assert told.outcomes == [COMPLETED, COMPLETED] and not told.late
    assert play(prompt(""), prompt("")).outcomes == [INTERRUPTED, None]


def test_a_prompt_told_twice_is_one_command():
    told = play(start(), prompt("p1"), pre("a"), prompt("p1"), stop())
    assert told.outcomes == [COMPLETED]


@pytest.mark.parametrize("told", [noted(), unknown()], ids=kind)
@pytest.mark.parametrize("before", [[], [prompt()], [prompt(), pre("a")], [prompt(), permission("a")]], ids=len)
def test_what_we_make_no_use_of_moves_nothing(told, before):
    story = play(start(), *before)
    state, commands = story.state, len(story.commands)
    assert (story.tell(told).state, len(story.commands)) == (state, commands)


# How an answer ends otherwise


def test_an_interrupt_ends_the_command_and_what_it_waited_for():
    told = play(start(), prompt(), pre("a"), permission("a"), interrupt())
    assert (told.state, told.outcomes, told.open_waits) == (IDLE, [INTERRUPTED], [])


def test_an_interrupt_with_nothing_open_is_nothing():
    assert play(start(), interrupt()).commands == []


def test_an_error_of_the_service_fails_the_command():
    told = play(start(), prompt(), text("API Error"), failure("overloaded"))
    assert (told.state, told.outcomes) == (IDLE, [FAILED])
    assert "overloaded" in told.command.reason and told.said[-1] == ("agent", "completion", "API Error")
    assert play(prompt(), failure("")).command.reason == "the model's service failed: unknown"


def test_a_lost_process_abandons_the_command():
    told = play(start(), prompt(), pre("a"), permission("a")).lose("process 7 is gone")
    assert (told.presence, told.outcomes, told.open_waits) == (ENDED, [ABANDONED], [])
    assert "process 7 is gone" in told.last.end_reason and told.last.session_over


def test_a_lost_process_without_a_command_ends_the_agent_alone():
    told = play(start()).lose()
    assert (told.presence, told.commands) == (ENDED, [])


# Background tasks


def test_a_stop_with_running_tasks_is_a_pause():
    told = play(start(), prompt(), stop(background=TASK))
    assert (told.state, told.outcomes, told.situation.background) == (PROCESSING, [None], ("a long build",))
    assert told.said[-1] == ("agent", "progress", "Done.")
    assert told.last.reason == "still runs in the background: a long build"


def test_the_client_goes_on_and_nothing_is_left_in_the_background():
    told = play(start(), prompt("p1"), stop(background=TASK), machine("p2"))
    assert (told.situation.background, told.last.reason) == ((), "the client went on by itself")


def test_the_client_goes_on_by_itself_with_the_same_command():
    told = play(start(), prompt("p1"), stop(background=TASK), machine("p2"), text(prompt="p2"), stop(prompt="p2"))
    assert (told.outcomes, told.command.prompt, told.situation.background) == ([COMPLETED], "Do it.", ())


def test_a_background_subagent_works_on_after_the_pause():
    told = play(start(), prompt(), pre("A"), sub_start("s"), post("A"), batch("A"), stop(background=["s"]))
    told.tell(pre("b", sub="s"), post("b", sub="s"), batch("b", sub="s"), sub_stop("s"))
    assert (told.state, told.outcomes) == (PROCESSING, [None])
    told.tell(machine("p2"), stop(prompt="p2"))
    assert (told.state, told.outcomes, told.ambiguous) == (IDLE, [COMPLETED], "")


def test_a_pause_whose_continuation_was_lost_was_not_interrupted():
    told = play(start(), prompt("p1"), stop(background=TASK), stop(prompt="p2"))
    assert told.outcomes == [COMPLETED, COMPLETED] and told.command.inferred


def test_a_person_who_goes_on_during_the_tasks_does_not_interrupt_what_was_answered():
    told = play(start(), prompt("p1"), stop(background=TASK), prompt("p2"))
    assert told.state is COMMANDED and told.outcomes == [COMPLETED, None]


def test_a_person_may_shorten_the_conversation_during_the_tasks():
    told = play(start(), prompt("p1"), stop(background=TASK), compaction(by_person=True, prompt="p9"))
    assert (told.state, told.outcomes) == (PROCESSING, [None])
    assert told.tell(machine("p2"), stop(prompt="p2")).outcomes == [COMPLETED]


def test_being_idle_in_a_pause_is_no_gap():
    assert play(start(), prompt(), stop(background=TASK), notice(None)).ambiguous == ""


def test_a_scheduled_prompt_with_nothing_open_opens_a_command():
    told = play(start(), machine("p2", "Look at the build."))
    assert (told.state, told.command.inferred, told.command.prompt) == (PROCESSING, False, "Look at the build.")


def test_a_machine_prompt_answers_no_question():
    told = play(start(), prompt(), pre("a"), permission("a"), machine("p2"))
    assert (told.state, told.waited_for, told.outcomes) == (AWAITING, ["a"], [None])


# Subagents


def test_a_subagent_never_opens_a_command():
    told = play(start(), sub_start("s"), pre("b", sub="s"), post("b", sub="s"), batch("b", sub="s"), sub_stop("s"))
    assert (told.state, told.commands, told.situation.subagents) == (IDLE, [], ())


def test_a_subagent_at_work_is_progress():
    assert play(start(), prompt(), sub_start("s")).state is PROCESSING


def test_a_subagent_never_closes_a_command():
    told = play(start(), prompt(), pre("A"), sub_start("s"), stop("Found it.", sub="s"), sub_stop("s"))
    assert (told.state, told.outcomes) == (PROCESSING, [None])


def test_a_failing_subagent_fails_no_command():
    told = play(start(), prompt(), pre("A"), sub_start("s"), failure(sub="s"))
    assert told.outcomes == [None]


def test_a_foreground_subagent_is_known_while_it_works():
    told = play(start(), prompt(), pre("A"), sub_start("s"))
    assert told.situation.subagents == ("s",)
    told.tell(pre("b", sub="s"), post("b", sub="s"), sub_stop("s"), post("A"), stop())
    assert (told.situation.subagents, told.outcomes, told.ambiguous) == ((), [COMPLETED], "")


def test_the_nameless_subagent_of_a_compaction_leaves_nothing_behind():
    told = play(start(), compaction(by_person=True, prompt="p9"), sub_stop("x", prompt="p9"))
    assert (told.state, told.commands, told.situation.subagents, told.ambiguous) == (IDLE, [], (), "")


def test_a_background_subagent_still_asks_a_person_beside_the_next_command():
    told = play(start(), prompt("p1"), pre("A"), sub_start("s"), post("A"), stop(background=["s"]), prompt("p2"))
    told.tell(pre("b", sub="s"), permission("b", sub="s"))
    assert (told.state, told.waited_for, told.outcomes) == (AWAITING, ["b"], [COMPLETED, None])
    assert told.tell(post("b", sub="s"), sub_stop("s")).state is PROCESSING
    assert told.situation.subagents == ()


def test_an_old_subagent_says_nothing_about_the_next_command():
    told = play(start(), prompt("p1"), pre("A"), sub_start("s"), post("A"), stop(), prompt("p2"))
    told.tell(pre("b", sub="s"), permission("b", sub="s"), sub_stop("s"))
    assert (told.state, told.open_waits, told.situation.subagents) == (COMMANDED, [], ())
    assert told.ambiguous == ""


def test_a_pause_ends_what_the_agent_itself_asked_and_called():
    told = play(start(), prompt(), pre("a"), permission("a"), stop(background=TASK))
    assert (told.state, told.open_waits, told.situation.tools) == (PROCESSING, [], {})


def test_a_pause_ends_nothing_that_a_subagent_asks():
    told = play(start(), prompt(), pre("A"), sub_start("s"), pre("b", sub="s"), permission("b", sub="s"), post("A"))
    assert told.tell(stop(background=["s"])).waited_for == ["b"]
    assert told.state is AWAITING and "s" in told.last.reason


def test_a_session_that_ends_in_a_pause_takes_no_answer_back():
    told = play(start(), prompt(), stop(background=TASK), end())
    assert told.outcomes == [COMPLETED] and "background" in told.command.reason


def test_a_subagent_without_a_name_touches_nothing():
    told = play(start(), prompt(), pre("a"), permission("a"), sub_start(""), sub_stop(""))
    assert (told.waited_for, told.situation.subagents) == (["a"], ())
    assert play(start(), sub_start(""), sub_stop("")).commands == []


def test_an_interrupted_call_ends_the_command():
    told = play(start(), prompt(), pre("a"), post("a", failed=True, interrupted=True))
    assert (told.state, told.outcomes) == (IDLE, [INTERRUPTED])


def test_an_interrupted_call_is_all_that_was_seen_of_a_command():
    told = play(start(), post("a", failed=True, interrupted=True))
    assert (told.state, told.outcomes, told.command.inferred) == (IDLE, [INTERRUPTED], True)


def test_an_interrupted_call_of_a_subagent_ends_no_command():
    told = play(start(), prompt(), pre("A"), post("b", failed=True, interrupted=True, sub="s"))
    assert told.outcomes == [None]
