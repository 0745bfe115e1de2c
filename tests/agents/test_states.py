"""The table of states: total, terminal at its end, and with all 21 moves of the monitor that we learned from."""

import pytest

from agents.states import TABLE, CommandState, Outcome, Step, Trigger

IDLE, COMMANDED, PROCESSING = CommandState.IDLE, CommandState.COMMANDED, CommandState.PROCESSING
AWAITING, COMPLETE = CommandState.AWAITING_INPUT, CommandState.COMPLETE
OPEN = (COMMANDED, PROCESSING, AWAITING)
EVERYWHERE = [(state, trigger) for state in CommandState for trigger in Trigger]

COMMAND, ANSWER, PROGRESS = Trigger.COMMAND, Trigger.ANSWER, Trigger.PROGRESS
QUESTION, COMPLETION, END = Trigger.QUESTION, Trigger.COMPLETION, Trigger.END

PREDECESSOR = {
    (IDLE, COMMAND): COMMANDED,
    (IDLE, PROGRESS): PROCESSING,
    (IDLE, QUESTION): AWAITING,
    (IDLE, COMPLETION): COMPLETE,
    (IDLE, END): COMPLETE,
    (COMMANDED, COMMAND): COMMANDED,
    (COMMANDED, PROGRESS): PROCESSING,
    (COMMANDED, QUESTION): AWAITING,
    (COMMANDED, COMPLETION): COMPLETE,
    (COMMANDED, END): COMPLETE,
    (PROCESSING, COMMAND): PROCESSING,
    (PROCESSING, ANSWER): PROCESSING,
    (PROCESSING, PROGRESS): PROCESSING,
    (PROCESSING, QUESTION): AWAITING,
    (PROCESSING, COMPLETION): COMPLETE,
    (PROCESSING, END): COMPLETE,
    (AWAITING, ANSWER): PROCESSING,
    (AWAITING, PROGRESS): AWAITING,
    (AWAITING, QUESTION): AWAITING,
    (AWAITING, COMPLETION): COMPLETE,
    (AWAITING, END): COMPLETE,
}
"""Where an agent's predecessor of this program goes: what a command did there on the same word."""

DEVIATIONS = {
    (IDLE, END): (None, "nothing is open that could end"),
    (PROCESSING, COMMAND): (COMMANDED, "a person's instruction is a command of its own, and ends the one before"),
    (AWAITING, COMMAND): (COMMANDED, "it was flagged as a new command there and never reached; Esc leaves it so"),
}
"""Where ours goes elsewhere, and why."""

NEWER = {Trigger.CONTINUATION, Trigger.PAUSE, Trigger.INTERRUPT, Trigger.FAILURE, Trigger.LOSS}
"""What the predecessor had no word for."""


@pytest.mark.parametrize(("state", "trigger"), EVERYWHERE)
def test_every_state_meets_every_trigger(state, trigger):
    step = TABLE[state][trigger]
    assert step is None or isinstance(step, Step)


def test_the_table_has_no_other_rows():
    assert set(TABLE) == set(CommandState)
    assert all(set(row) == set(Trigger) for row in TABLE.values())


@pytest.mark.parametrize("trigger", Trigger)
def test_complete_is_terminal(trigger):
    assert TABLE[COMPLETE][trigger] is None


def test_the_predecessor_had_21_valid_moves():
    assert len(PREDECESSOR) == 21
    assert {trigger for _, trigger in PREDECESSOR} | NEWER == set(Trigger)


@pytest.mark.parametrize(("move", "target"), PREDECESSOR.items(), ids=str)
def test_a_move_of_the_predecessor_is_kept_or_its_deviation_has_a_reason(move, target):
    state, trigger = move
    expected = DEVIATIONS[move][0] if move in DEVIATIONS else target
    step = TABLE[state][trigger]
    assert (step and step.to) == expected


@pytest.mark.parametrize(("move", "told"), DEVIATIONS.items(), ids=str)
def test_a_deviation_differs_and_says_why(move, told):
    target, reason = told
    assert target != PREDECESSOR.get(move) and reason


@pytest.mark.parametrize(
    ("state", "trigger"), [place for place in EVERYWHERE if place not in PREDECESSOR and place[1] not in NEWER], ids=str
)
def test_what_the_predecessor_forbade_moves_nothing_or_its_deviation_has_a_reason(state, trigger):
    step = TABLE[state][trigger]
    expected, _ = DEVIATIONS.get((state, trigger), (None, ""))
    assert (step and step.to) == expected


@pytest.mark.parametrize(("state", "trigger"), EVERYWHERE)
def test_an_end_and_nothing_else_has_an_outcome(state, trigger):
    step = TABLE[state][trigger]
    if step:
        assert (step.outcome is not None) is (step.to is COMPLETE)
        assert step.to is not IDLE, "idle is the lack of a command, and no place to go"


@pytest.mark.parametrize("state", OPEN)
def test_every_open_command_can_end_in_every_way(state):
    ends = {
        COMPLETION: Outcome.COMPLETED,
        Trigger.INTERRUPT: Outcome.INTERRUPTED,
        Trigger.FAILURE: Outcome.FAILED,
        END: Outcome.ABANDONED,
        Trigger.LOSS: Outcome.ABANDONED,
    }
    assert {trigger: TABLE[state][trigger].outcome for trigger in ends} == ends
    assert not any(TABLE[state][trigger].fresh for trigger in ends)


@pytest.mark.parametrize("trigger", Trigger)
def test_with_nothing_open_only_a_new_command_can_move(trigger):
    step = TABLE[IDLE][trigger]
    assert step is None or step.fresh


@pytest.mark.parametrize("state", OPEN)
def test_only_an_instruction_begins_a_new_command_while_one_is_open(state):
    assert [trigger for trigger in Trigger if (step := TABLE[state][trigger]) and step.fresh] == [COMMAND]


@pytest.mark.parametrize("trigger", [PROGRESS, Trigger.CONTINUATION, Trigger.PAUSE])
def test_nothing_that_the_agent_does_answers_for_the_person(trigger):
    assert TABLE[AWAITING][trigger].to is AWAITING


def test_a_pause_is_not_an_end():
    assert TABLE[PROCESSING][Trigger.PAUSE] == Step(PROCESSING)
