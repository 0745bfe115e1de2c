"""What happened to an agent, in our words: frozen, past tense, with no trace of its vendor.

An adapter makes them, the transitions judge them. A field that a vendor does not tell is empty, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Start(StrEnum):
    """Why a session began."""

    STARTUP = "startup"
    RESUME = "resume"
    CLEAR = "clear"
    COMPACT = "compact"
    FORK = "fork"


class Speaker(StrEnum):
    """Who a prompt comes from: a person, or the client that goes on by itself (a background task has ended)."""

    PERSON = "person"
    MACHINE = "machine"


class Asking(StrEnum):
    """What an agent waits for when it waits for a person."""

    PERMISSION = "permission"
    QUESTION = "question"
    PLAN = "plan"


@dataclass(frozen=True, slots=True)
class Tool:
    """One call of a tool."""

    name: str
    use_id: str = ""
    """The vendor's id of the call; empty where it tells none (a permission request)."""
    digest: str = ""
    """A digest of name and input, which pairs a permission request with the call it is about."""
    writes: bool = True
    """Whether it may change anything; a tool that we do not know does."""
    asking: Asking | None = None
    """Set on a tool whose call is itself a question to a person."""

    @property
    def key(self) -> str:
        """What tells this call from the others under way."""
        return self.use_id or self.digest


@dataclass(frozen=True, slots=True)
class Process:
    """The operating system's process that an agent is, as its host saw it."""

    pid: int
    started: str
    """Start time in the host's own unit: with the pid it names the process for good."""
    place: str
    """Which process table the pid belongs to (boot and namespace)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from: the same for every kind."""

    vendor: str
    session_id: str
    name: str = ""
    """The vendor's own name of the moment; for the journal and for people, never for a rule."""
    prompt_id: str = ""
    """The vendor's id of the prompt in progress; empty where it tells none."""
    subagent_id: str = ""
    """Set when it happened inside a subagent."""
    cwd: str = ""
    transcript_path: str = ""
    permission_mode: str = ""
    model: str = ""
    process: Process | None = None
    ancestors: tuple[int, ...] = ()
    """Pids above the agent's process, nearest first: how a nested agent is told from its parent."""
    pane: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; the kinds below say what."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class SessionStarted(Event):
    """A conversation began or went on."""

    start: Start = Start.STARTUP


@dataclass(frozen=True, slots=True)
class SessionEnded(Event):
    """A conversation ended; ``continues`` when the same process goes on with another one."""

    reason: str = ""
    continues: bool = False


@dataclass(frozen=True, slots=True)
class PromptSubmitted(Event):
    """Somebody told the agent something."""

    text: str = ""
    speaker: Speaker = Speaker.PERSON


@dataclass(frozen=True, slots=True)
class ToolRequested(Event):
    """The agent is about to call a tool. The vendor waits for our decision."""

    tool: Tool = field(default_factory=lambda: Tool(""))
    text: str = ""
    """What is asked, where the tool is a question or a plan."""


@dataclass(frozen=True, slots=True)
class ToolFinished(Event):
    """A tool call came back, well or not."""

    tool: Tool = field(default_factory=lambda: Tool(""))
    failed: bool = False
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class ToolsSettled(Event):
    """All calls of one message are over, also those that were denied or never ran."""

    use_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PermissionRequested(Event):
    """A person is asked whether a call may run. The vendor waits for our decision."""

    tool: Tool = field(default_factory=lambda: Tool(""))
    text: str = ""


@dataclass(frozen=True, slots=True)
class PermissionDenied(Event):
    """The vendor itself refused a call."""

    tool: Tool = field(default_factory=lambda: Tool(""))
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttentionWanted(Event):
    """The client says that it waits for a person; a weak and late witness of what other events tell exactly."""

    asking: Asking | None = None
    """None: it is idle and waits for the next prompt."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class TextShown(Event):
    """The agent said something to the screen."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class TurnStopped(Event):
    """The agent finished its answer; with running background tasks it only pauses."""

    text: str = ""
    background: tuple[str, ...] = ()
    """What still runs, described for a person; empty when nothing does."""


@dataclass(frozen=True, slots=True)
class TurnFailed(Event):
    """The answer ended in an error of the model's service."""

    error: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class TurnInterrupted(Event):
    """A person stopped the answer (told only by vendors that have a word for it)."""


@dataclass(frozen=True, slots=True)
class SubagentStarted(Event):
    """A subagent began its work; its id is in the origin."""


@dataclass(frozen=True, slots=True)
class SubagentStopped(Event):
    """A subagent is done; its id is in the origin."""


@dataclass(frozen=True, slots=True)
class CompactionStarted(Event):
    """The conversation is being shortened; ``by_person`` when somebody typed the command, hence nothing else ran."""

    by_person: bool = False


@dataclass(frozen=True, slots=True)
class DirectoryChanged(Event):
    """The agent works somewhere else now; the place is the origin's cwd."""


@dataclass(frozen=True, slots=True)
class ModelChanged(Event):
    """The agent goes on with another model; its name is in the origin."""


@dataclass(frozen=True, slots=True)
class Noted(Event):
    """A moment that we know and make no use of; it is journaled and shows that the agent lives."""


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """A moment that this adapter has never heard of; it is journaled and changes nothing."""


Payload = Mapping[str, Any]
"""A hook's body: a JSON object as the vendor sent it."""
