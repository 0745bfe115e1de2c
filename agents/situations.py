"""What is known of one agent when an event is judged, and what the judgement says is to be written: values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.decisions import PROCEED, Decision
from agents.events import Asking, Process
from agents.states import Actor, CommandState, Intent, Mode, Outcome, Presence, Trigger


@dataclass(frozen=True, slots=True)
class OpenTool:
    """A tool call under way."""

    name: str
    digest: str = ""
    subagent_id: str = ""


@dataclass(frozen=True, slots=True)
class OpenWait:
    """Something that a person is asked; ``id`` is None until it is written."""

    id: int | None
    asking: Asking
    use_id: str = ""
    """The tool call that it is about; empty as long as none was seen."""
    digest: str = ""
    subagent_id: str = ""
    tool_name: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class OpenCommand:
    """The instruction under way; ``id`` is None until it is written."""

    id: int | None
    state: CommandState
    prompt_ids: tuple[str, ...] = ()
    prompt: str = ""
    inferred: bool = False
    """The instruction itself was not seen: what the agent did showed that there must have been one."""
    gaps: Mapping[str, str] = field(default_factory=dict)
    """What its events lack: key → a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Past:
    """A command that ended lately, kept to judge what arrives after its end."""

    weak: bool = False
    """Its end was concluded from something else than its own stop: a later stop knows better."""
    inferred: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """One agent, as far as a judgement needs it."""

    presence: Presence = Presence.ALIVE
    mode: Mode = Mode.RUN
    generation: int = 1
    session_id: str = ""
    process: Process | None = None
    command: OpenCommand | None = None
    waits: tuple[OpenWait, ...] = ()
    tools: Mapping[str, OpenTool] = field(default_factory=dict)
    settled: tuple[str, ...] = ()
    """Ids and digests of calls of the open command that are over, newest last."""
    subagents: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    """What still runs after a stop; not empty means that the command is paused."""
    past: Mapping[str, Past] = field(default_factory=dict)
    """The last few prompts that are over: prompt id → their command."""
    gaps: Mapping[str, str] = field(default_factory=dict)
    """What the session's own stream lacks: key → a sentence for a person."""

    @property
    def state(self) -> CommandState:
        """The state of the open command, or idle."""
        return self.command.state if self.command else CommandState.IDLE

    @property
    def ambiguous(self) -> str:
        """Why the agent cannot be trusted to be what is shown, or nothing."""
        open_gaps = self.command.gaps if self.command else {}
        return "; ".join([*self.gaps.values(), *open_gaps.values()])


@dataclass(frozen=True, slots=True)
class CommandChange:
    """A command as it is to be written: a new one (``id`` None), the open one, or a past one that is known better."""

    id: int | None
    state: CommandState
    prompt_ids: tuple[str, ...] = ()
    prompt: str = ""
    inferred: bool = False
    gaps: Mapping[str, str] = field(default_factory=dict)
    outcome: Outcome | None = None
    reason: str = ""
    past_prompt_id: str = ""
    """Set on a past command, which is found by this; only what is not empty is written then."""
    settles: str = ""
    """A flag of a past command that is taken back."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A turn to be written; ``command`` is its place in the judgement's list of command changes."""

    actor: Actor
    intent: Intent
    text: str
    command: int


@dataclass(frozen=True, slots=True)
class Move:
    """A state change to be written."""

    before: str
    after: str
    trigger: Trigger | str
    reason: str
    command: int | None = None
    """The place of the command that moved in the judgement's list; None where the agent itself did."""


@dataclass(frozen=True, slots=True)
class WaitClosed:
    """A wait that is over, and by what."""

    wait: OpenWait
    closed_by: str


@dataclass(frozen=True, slots=True)
class Transition:
    """What the rules answer to (situation, event)."""

    after: Situation
    late: bool = False
    decision: Decision = PROCEED
    commands: tuple[CommandChange, ...] = ()
    turns: tuple[Utterance, ...] = ()
    closed_waits: tuple[WaitClosed, ...] = ()
    moves: tuple[Move, ...] = ()
    reason: str = ""
    """Why the agent is in its state now; empty when the judgement did not change that."""
    session_over: bool = False
    """The event's session has ended (the agent may go on with another one)."""
    end_reason: str = ""
