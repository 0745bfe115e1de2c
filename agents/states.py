"""The states of a command, and the one table that says how it moves.

    idle ──command──▶ commanded ──progress──▶ processing ──completion──▶ complete
                          │                    ▲      │
                          └──question──▶ awaiting_input ◀──question──┘
                                            └──answer──▶ processing

``idle`` is what an agent is while no command of it is open; ``complete`` is terminal. The table is total: every state
meets every trigger, and where nothing may happen it says ``None``. The target of a move comes from here and from
nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class CommandState(StrEnum):
    """Where one instruction is."""

    IDLE = "idle"
    COMMANDED = "commanded"
    PROCESSING = "processing"
    AWAITING_INPUT = "awaiting_input"
    COMPLETE = "complete"


class Outcome(StrEnum):
    """How a command ended."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    ABANDONED = "abandoned"


class Actor(StrEnum):
    """Who said something."""

    USER = "user"
    AGENT = "agent"


class Intent(StrEnum):
    """What somebody said it for."""

    COMMAND = "command"
    ANSWER = "answer"
    PROGRESS = "progress"
    QUESTION = "question"
    COMPLETION = "completion"


class Presence(StrEnum):
    """Whether an agent is there: ended is known by evidence, unknown is said when nothing tells."""

    ALIVE = "alive"
    ENDED = "ended"
    UNKNOWN = "unknown"


class Mode(StrEnum):
    """What an operator lets an agent do."""

    RUN = "run"
    READ_ONLY = "read_only"
    HOLD = "hold"
    DRAIN = "drain"
    STOPPED = "stopped"


class Trigger(StrEnum):
    """What can move a command."""

    COMMAND = "command"
    """A person gave an instruction."""
    ANSWER = "answer"
    """The last thing that it waited for is settled."""
    PROGRESS = "progress"
    """The agent does something."""
    QUESTION = "question"
    """The agent waits for a person."""
    COMPLETION = "completion"
    """The agent finished its answer."""
    END = "end"
    """The session ended."""
    CONTINUATION = "continuation"
    """The client went on by itself."""
    PAUSE = "pause"
    """The answer is finished, and background tasks still run."""
    INTERRUPT = "interrupt"
    """A person stopped it, or did what can only be done when it had stopped."""
    FAILURE = "failure"
    """The model's service failed."""
    LOSS = "loss"
    """The process is gone."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the table: where the command goes and, at the end, how it ended."""

    to: CommandState
    outcome: Outcome | None = None
    fresh: bool = False
    """The instruction is a new one: an open command ends as interrupted, and this step is the new one's first."""


_IDLE, _COMMANDED, _PROCESSING = CommandState.IDLE, CommandState.COMMANDED, CommandState.PROCESSING
_AWAITING, _COMPLETE = CommandState.AWAITING_INPUT, CommandState.COMPLETE

_COMPLETED = Step(_COMPLETE, Outcome.COMPLETED)
_FAILED = Step(_COMPLETE, Outcome.FAILED)
_INTERRUPTED = Step(_COMPLETE, Outcome.INTERRUPTED)
_ABANDONED = Step(_COMPLETE, Outcome.ABANDONED)
_NEW = Step(_COMMANDED, fresh=True)

_OPEN: Mapping[Trigger, Step | None] = {
    Trigger.COMMAND: _NEW,
    Trigger.ANSWER: Step(_PROCESSING),
    Trigger.PROGRESS: Step(_PROCESSING),
    Trigger.QUESTION: Step(_AWAITING),
    Trigger.COMPLETION: _COMPLETED,
    Trigger.END: _ABANDONED,
    Trigger.CONTINUATION: Step(_PROCESSING),
    Trigger.PAUSE: Step(_PROCESSING),
    Trigger.INTERRUPT: _INTERRUPTED,
    Trigger.FAILURE: _FAILED,
    Trigger.LOSS: _ABANDONED,
}

TABLE: Mapping[CommandState, Mapping[Trigger, Step | None]] = {
    # Nothing is open: what an agent does now shows that an instruction was given which nobody saw.
    _IDLE: {
        Trigger.COMMAND: _NEW,
        Trigger.ANSWER: None,
        Trigger.PROGRESS: Step(_PROCESSING, fresh=True),
        Trigger.QUESTION: Step(_AWAITING, fresh=True),
        Trigger.COMPLETION: Step(_COMPLETE, Outcome.COMPLETED, fresh=True),
        Trigger.END: None,
        Trigger.CONTINUATION: Step(_PROCESSING, fresh=True),
        Trigger.PAUSE: Step(_PROCESSING, fresh=True),
        Trigger.INTERRUPT: None,
        Trigger.FAILURE: Step(_COMPLETE, Outcome.FAILED, fresh=True),
        Trigger.LOSS: None,
    },
    _COMMANDED: {**_OPEN, Trigger.ANSWER: None},
    _PROCESSING: _OPEN,
    # While a person is asked, other tools and subagents go on: only the answer to the question clears it.
    _AWAITING: {
        **_OPEN,
        Trigger.PROGRESS: Step(_AWAITING),
        Trigger.CONTINUATION: Step(_AWAITING),
        Trigger.PAUSE: Step(_AWAITING),
    },
    _COMPLETE: dict.fromkeys(Trigger),
}
