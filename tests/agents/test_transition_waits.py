"""What an agent waits for: opened by its own call, and settled by nothing else (X4)."""

import pytest

from agents.events import Asking, PermissionRequested, Tool, ToolFinished, ToolRequested
from agents.states import CommandState, Outcome
from tests.agents.play import (
    batch,
    compaction,
    denied,
    end,
    kind,
    notice,
    origin,
    permission,
    play,
    post,
    pre,
    prompt,
    question,
    start,
    stop,
    sub_start,
    sub_stop,
    text,
)

IDLE, COMMANDED, PROCESSING = CommandState.IDLE, CommandState.COMMANDED, CommandState.PROCESSING
AWAITING = CommandState.AWAITING_INPUT


ASKED = (start(), prompt(), pre("a"), permission("a"))
"""A person is asked about one call."""

# Permissions


def test_a_permission_request_is_about_the_call_with_its_digest():
    told = play(start(), prompt(), pre("a"), pre("b"), permission("b"))
    assert (told.state, told.waited_for) == (AWAITING, ["b"])
    (wait,) = told.open_waits
    assert (wait.asking, wait.tool_name) == (Asking.PERMISSION, "Bash")


def test_a_permission_says_what_for():
    told = play(*ASKED)
    assert told.waits[0].wait.text == "touch x" and told.last.reason == "asks for a permission: Bash"
    assert told.said == [("user", "command", "Do it.")], "what a call does is no utterance"


def test_the_call_that_came_back_settles_its_question():
    told = play(*ASKED, post("a"))
    assert (told.state, told.open_waits) == (PROCESSING, [])
    assert [row.closed_by for row in told.waits] != [""]


def test_a_failed_call_settles_its_question_too():
    assert play(*ASKED, post("a", failed=True)).state is PROCESSING


def test_a_refusal_by_the_vendor_settles_the_question():
    assert play(*ASKED, denied("a")).state is PROCESSING


@pytest.mark.parametrize("other", [post("b"), batch("b"), denied("b"), pre("b"), text(), post("b", sub="s")], ids=kind)
def test_another_call_settles_nothing(other):
    told = play(start(), prompt(), pre("b"), pre("a"), permission("a"), other)
    assert (told.state, told.waited_for) == (AWAITING, ["a"])


def test_a_call_of_the_same_tool_settles_nothing():
    told = play(start(), prompt(), pre("a"), pre("b"), permission("a"), permission("b"), post("b"))
    assert (told.state, told.waited_for) == (AWAITING, ["a"])


def test_the_last_answer_and_no_earlier_one_goes_on():
    told = play(start(), prompt(), pre("a"), pre("b"), permission("a"), permission("b"), post("b"), post("a"))
    assert (told.state, told.open_waits) == (PROCESSING, [])


def test_two_equal_calls_wait_each_for_itself():
    def again(use_id):
        return ToolRequested(origin(), tool=Tool("Bash", use_id=use_id, digest="d-a"))

    told = play(start(), prompt(), again("a"), again("b"), permission("a"), permission("a"))
    assert sorted(told.waited_for) == ["a", "b"]
    finished = ToolFinished(origin(), tool=Tool("Bash", use_id="a", digest="d-a"))
    assert told.tell(finished).waited_for == ["b"]


def test_denied_in_headless_only_the_batch_tells_it():
    told = play(start(), prompt(), pre("a"), batch("a"))
    assert (told.state, told.situation.tools, told.ambiguous) == (PROCESSING, {}, "")


def test_the_batch_settles_a_refused_permission():
    told = play(*ASKED, batch("a"))
    assert (told.state, told.open_waits) == (PROCESSING, [])


def test_a_batch_that_overtakes_the_request_leaves_nothing_open():
    told = play(start(), prompt(), pre("a"), batch("a"), permission("a"))
    assert (told.state, told.open_waits) == (PROCESSING, [])


def test_the_same_call_may_be_asked_about_again_later():
    def again(use_id):
        return ToolRequested(origin(), tool=Tool("Bash", use_id=use_id, digest="d-a"))

    told = play(start(), prompt(), again("a"), permission("a"), post("a"), batch("a"), again("b"), permission("a"))
    assert (told.state, told.waited_for) == (AWAITING, ["b"])


def test_a_request_whose_call_was_not_seen_waits_and_is_settled_by_its_digest():
    told = play(start(), prompt(), permission("a"))
    assert (told.state, told.waited_for) == (AWAITING, [""])
    assert told.tell(post("a")).state is PROCESSING


def test_a_request_whose_call_was_not_seen_is_over_with_the_batch():
    told = play(start(), prompt(), permission("a"), batch("a"))
    assert (told.state, told.open_waits) == (PROCESSING, [])


def test_a_request_told_twice_waits_once():
    assert len(play(*ASKED, permission("a")).waits) == 1


def test_a_subagent_asks_a_person_and_only_its_own_call_answers():
    told = play(start(), prompt(), pre("A"), sub_start("s"), pre("b", sub="s"), permission("b", sub="s"), pre("c"))
    assert (told.state, told.waited_for) == (AWAITING, ["b"])
    assert told.tell(post("c"), batch("c")).state is AWAITING
    assert told.tell(post("b", sub="s")).state is PROCESSING


def test_the_end_of_a_subagent_ends_what_it_asked():
    told = play(start(), prompt(), pre("A"), sub_start("s"), pre("b", sub="s"), permission("b", sub="s"), sub_stop("s"))
    assert (told.state, told.open_waits) == (PROCESSING, [])


def test_a_subagent_in_the_background_asks_during_the_pause():
    told = play(start(), prompt(), stop(background=["s"]), pre("b", sub="s"), permission("b", sub="s"))
    assert (told.state, told.waited_for) == (AWAITING, ["b"])
    assert told.tell(post("b", sub="s")).state is PROCESSING


def test_a_request_whose_call_was_not_seen_is_settled_by_its_own_end_while_another_runs():
    told = play(start(), prompt(), pre("b"), permission("a"), pre("c"), post("c"))
    assert told.state is AWAITING
    assert told.tell(post("a")).state is PROCESSING


def test_a_request_whose_call_was_not_seen_outlives_the_calls_of_others():
    told = play(start(), prompt(), permission("a"), pre("b", sub="s"), post("b", sub="s"), batch("b", sub="s"))
    assert told.state is AWAITING


def test_a_call_that_its_question_overtook_is_named():
    told = play(start(), prompt(), permission("a"), pre("a"))
    assert (told.waited_for, told.ambiguous) == (["a"], "")


def test_equal_calls_of_the_agent_and_a_subagent_are_told_apart():
    twin = ToolRequested(origin(sub="s"), tool=Tool("Bash", use_id="b", digest="d-a"))
    assert play(start(), prompt(), pre("a"), twin, permission("a")).waited_for == ["a"]


def test_a_call_names_its_own_question_alone():
    assert play(start(), prompt(), permission("a"), permission("b"), pre("b")).waited_for == ["", "b"]


def test_two_equal_calls_name_one_question_between_them():
    calls = [ToolRequested(origin(), tool=Tool("Bash", use_id=use_id, digest="d-a")) for use_id in "ab"]
    assert play(start(), prompt(), permission("a"), *calls).waited_for == ["a"]


def test_the_same_call_asked_about_again_without_its_beginning_still_waits():
    told = play(start(), prompt(), pre("a"), permission("a"), post("a"), batch("a"), permission("a"))
    assert (told.state, bool(told.ambiguous)) == (AWAITING, True)


# Questions


@pytest.mark.parametrize("asking", [Asking.QUESTION, Asking.PLAN])
def test_a_tool_that_asks_is_a_wait_by_itself(asking):
    told = play(start(), prompt(), question("q", asking))
    assert (told.state, told.waited_for) == (AWAITING, ["q"])
    assert told.open_waits[0].asking is asking
    assert told.said[-1] == ("agent", "question", "Red or blue?")


def test_its_permission_request_is_the_same_question():
    told = play(start(), prompt(), question("q"), permission("q"))
    assert told.waited_for == ["q"] and told.open_waits[0].asking is Asking.QUESTION


def test_a_question_that_overtook_its_call_is_asked_once():
    request = PermissionRequested(origin(), tool=Tool("Ask", digest="d-q", asking=Asking.PLAN), text="The plan.")
    told = play(start(), prompt(), request)
    assert told.open_waits[0].asking is Asking.PLAN
    assert told.tell(question("q"), question("q")).waited_for == ["q"]


def test_a_question_whose_answer_overtook_it_asks_nobody():
    told = play(start(), prompt(), post("q"), question("q"))
    assert (told.state, told.open_waits) == (PROCESSING, [])


def test_the_answer_to_a_question_goes_on():
    told = play(start(), prompt(), question("q"), post("q"))
    assert (told.state, told.open_waits) == (PROCESSING, [])


def test_a_question_and_a_permission_at_once_are_two_waits():
    told = play(start(), prompt(), question("q"), pre("a"), permission("a"), post("q"))
    assert (told.state, told.waited_for) == (AWAITING, ["a"])


# What a person does without a word


def test_esc_on_a_dialog_is_told_by_the_next_prompt():
    told = play(*ASKED, prompt("p2", "Do something else."))
    assert (told.state, told.outcomes, told.open_waits) == (COMMANDED, [Outcome.INTERRUPTED, None], [])
    assert (told.command.prompt, told.situation.tools) == ("Do something else.", {})


def test_esc_and_then_a_compaction_by_a_person():
    told = play(*ASKED, compaction(by_person=True, prompt="p9"))
    assert (told.state, told.outcomes, told.open_waits) == (IDLE, [Outcome.INTERRUPTED], [])


def test_a_compaction_by_the_client_answers_nothing():
    assert play(*ASKED, compaction()).waited_for == ["a"]


def test_esc_and_then_the_end():
    told = play(*ASKED, end(prompt="p9"))
    assert (told.outcomes, told.open_waits) == ([Outcome.ABANDONED], [])


def test_what_a_closed_command_asked_is_not_asked_again_by_a_late_hook():
    told = play(*ASKED, prompt("p2"), permission("a"), notice(), post("a"))
    assert (told.state, told.open_waits, told.ambiguous) == (COMMANDED, [], "")
