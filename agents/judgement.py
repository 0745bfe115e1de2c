"""The working copy of one judgement: each method is one thing that a rule may do to an agent.

It starts from a situation and is frozen into a transition; nothing outside one call ever sees it change.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agents.decisions import PROCEED, Decision
from agents.events import Origin, Process, Tool
from agents.situations import (
    CommandChange,
    Move,
    OpenCommand,
    OpenTool,
    OpenWait,
    Past,
    Situation,
    Transition,
    Utterance,
    WaitClosed,
)
from agents.states import TABLE, Actor, CommandState, Intent, Outcome, Presence, Step, Trigger

PAST_KEPT = 16
SETTLED_KEPT = 32
GAPS_KEPT = 32  # of one command: a stream of which every other hook is lost would fill a book
ASKED = "asked"
"""Kept among what is settled: a person was asked in this command, so a notification may be the late echo of that."""
IDLE, ECHO = "idle", "echo"
"""Flags about the moment, which any end of the command settles."""
_WEAK_ENDS = {Trigger.INTERRUPT, Trigger.END, Trigger.LOSS}  # concluded from something else than a stop of its own


class Judgement:
    """What becomes of one agent by one event."""

    def __init__(self, situation: Situation, origin: Origin, event_name: str) -> None:
        self.before = situation
        self.origin = origin
        self.event_name = event_name
        self.now = situation
        self.decision: Decision = PROCEED
        self.reason = ""
        self.late = False
        self.session_over = False
        self.end_reason = ""
        self._done: list[CommandChange] = []
        self._turns: list[Utterance] = []
        self._closed_waits: list[WaitClosed] = []
        self._moves: list[Move] = []

    def freeze(self) -> Transition:
        """Return what is to be written and answered."""
        return Transition(
            after=self.now,
            late=self.late,
            decision=self.decision,
            commands=(*self._done, *self._open_change()),
            turns=tuple(self._turns),
            closed_waits=tuple(self._closed_waits),
            moves=tuple(self._moves),
            reason=self.reason,
            session_over=self.session_over,
            end_reason=self.end_reason,
        )

    def _open_change(self) -> tuple[CommandChange, ...]:
        command = self.now.command
        said_here = any(turn.command == len(self._done) for turn in self._turns)
        is_as_before = command == self.before.command and not said_here
        return () if command is None or is_as_before else (_change(command),)

    # -- prompts --------------------------------------------------------------

    def is_past(self) -> bool:
        """Whether the event belongs to a prompt that is over."""
        return self.origin.prompt_id in self.now.past

    def is_current(self) -> bool:
        """Whether the event belongs to the open command, as far as its vendor tells."""
        command, prompt_id = self.now.command, self.origin.prompt_id
        return command is not None and (not prompt_id or prompt_id in command.prompt_ids)

    def belong(self) -> bool:
        """Make the open command the one that the event belongs to; False when that is over.

        Where the prompt was never seen, the command is inferred from what the agent does, and says so.
        """
        if self.is_past():
            return False
        if not self.is_current():
            self.leave("work for another prompt began before a stop was seen")
            self._infer()
        return True

    def _infer(self) -> None:
        self.now = replace(self.now, command=OpenCommand(None, CommandState.IDLE, self._prompt_ids(), inferred=True))
        self.gap("prompt", "the prompt of this command was not seen")

    def _prompt_ids(self) -> tuple[str, ...]:
        return (self.origin.prompt_id,) if self.origin.prompt_id else ()

    def open(self, text: str) -> None:
        """Begin a command with what was said."""
        self.now = replace(self.now, command=OpenCommand(None, CommandState.IDLE, self._prompt_ids(), text))

    def adopt_prompt(self, text: str) -> None:
        """Give the open command the prompt that arrived after the work that it caused."""
        self._amend(prompt=text, inferred=False)
        self.settle("prompt")

    def join_prompt(self) -> None:
        """Count the event's prompt to the open command."""
        if self.now.command and self.origin.prompt_id:
            ids = dict.fromkeys((*self.now.command.prompt_ids, self.origin.prompt_id))
            self._amend(prompt_ids=tuple(ids))

    def _amend(self, **changes: object) -> None:
        if self.now.command:
            self.now = replace(self.now, command=replace(self.now.command, **changes))  # type: ignore[arg-type]

    # -- moves ----------------------------------------------------------------

    def step(self, trigger: Trigger, reason: str) -> Step | None:
        """Move the open command as the table says; return the step, or None where the table refuses."""
        state = self.now.state
        step = TABLE[state][trigger]
        if step is None or self.now.command is None:
            return None
        if step.to is not state:
            self._moves.append(Move(state, step.to, trigger, reason, len(self._done)))
            self.reason = reason
            self._amend(state=step.to)
        if step.outcome:
            self._end(trigger, step.outcome, reason)
        return step

    def leave(self, reason: str) -> None:
        """End the open command because another begins; one that paused was answered, and its subagents work on."""
        if not self.now.background:
            self.step(Trigger.INTERRUPT, reason)
            return
        subagents = self.now.subagents
        tools = {key: call for key, call in self.now.tools.items() if call.subagent_id}
        self.step(Trigger.COMPLETION, "finished, with work left in the background")
        self.now = replace(self.now, subagents=subagents, tools=tools)

    def _end(self, trigger: Trigger, outcome: Outcome, reason: str) -> None:
        self.settle(IDLE, ECHO)
        command = self.now.command
        assert command is not None
        self._done.append(_change(command, outcome, reason))
        self.close_waits(lambda wait: True, trigger)
        past = dict(self.now.past)
        for prompt_id in command.prompt_ids:
            # Only the stop of its last prompt tells how a command ended; those of the others were pauses.
            weak = trigger in _WEAK_ENDS and prompt_id == command.prompt_ids[-1]
            past[prompt_id] = Past(weak=weak, inferred=command.inferred)
        past = dict(list(past.items())[-PAST_KEPT:])
        self.now = replace(
            self.now, command=None, past=past, tools={}, settled=(), subagents=(), background=(), waits=()
        )

    def move(self, before: str, after: str, trigger: str, reason: str) -> None:
        """Note that the agent itself changed."""
        if before != after:
            self._moves.append(Move(before, after, trigger, reason))

    def say(self, actor: Actor, intent: Intent, text: str) -> None:
        """Note what was said in the open command."""
        if text and self.now.command:
            self._turns.append(Utterance(actor, intent, text, len(self._done)))

    def end_past(self, outcome: Outcome, reason: str) -> None:
        """Write how the past command of the event's prompt really ended."""
        self._write_past(CommandChange(None, CommandState.COMPLETE, outcome=outcome, reason=reason), weak=False)

    def prompt_past(self, text: str) -> None:
        """Write the prompt of the past command that had to be inferred."""
        self._write_past(CommandChange(None, CommandState.COMPLETE, prompt=text, settles="prompt"), inferred=False)

    def _write_past(self, change: CommandChange, **known: bool) -> None:
        prompt_id = self.origin.prompt_id
        self._done.append(replace(change, past_prompt_id=prompt_id))
        past = {**self.now.past, prompt_id: replace(self.now.past[prompt_id], **known)}
        self.now = replace(self.now, past=past)

    def say_past(self, actor: Actor, intent: Intent, text: str) -> None:
        """Note what was said in the past command that was amended last."""
        if text:
            self._turns.append(Utterance(actor, intent, text, len(self._done) - 1))

    # -- tools and waits ------------------------------------------------------

    def open_tool(self, tool: Tool) -> None:
        """Note that a call is under way, unless its end was heard first."""
        if tool.key in self.now.settled:
            self.settle(f"tool:{tool.key}")
            return
        call = OpenTool(tool.name, tool.digest, self.origin.subagent_id)
        settled = tuple(key for key in self.now.settled if key != asked(tool.digest))
        self.now = replace(self.now, tools={**self.now.tools, tool.key: call}, settled=settled)

    def close_tools(self, keys: tuple[str, ...], closed_by: str, digest: str = "") -> None:
        """Note that calls are over, and with them whatever a person was asked about them."""
        digests = (digest, *(self.now.tools[key].digest for key in keys if key in self.now.tools))
        tools = {key: call for key, call in self.now.tools.items() if key not in keys}
        self.now = replace(self.now, tools=tools)
        self.remember(*keys, *digests)
        self.close_waits(lambda wait: wait.use_id in keys if wait.use_id else self._is_over(wait, digests), closed_by)
        if not tools:
            self.settle(ECHO)

    def _is_over(self, wait: OpenWait, digests: tuple[str, ...]) -> bool:
        """Whether a question whose call was not seen is settled: by an equal call's end, or when nothing runs any more.

        A question that names nothing at all may be about anybody's call; one with a digest is about its own worker's.
        """
        workers = {call.subagent_id for call in self.now.tools.values()}
        if not wait.digest:
            return not workers
        mine = self.origin.subagent_id == wait.subagent_id
        return mine and (wait.digest in digests or wait.subagent_id not in workers)

    def remember(self, *keys: str) -> None:
        """Keep what is over in this command, the newest last; empty keys are none."""
        newest = dict.fromkeys(filter(None, keys))
        older = (key for key in self.now.settled if key not in newest)
        self.now = replace(self.now, settled=(*older, *newest)[-SETTLED_KEPT:])

    def open_wait(self, wait: OpenWait) -> None:
        """Note that a person is asked something."""
        self.now = replace(self.now, waits=(*self.now.waits, wait))

    def name_wait(self, old: OpenWait, **known: Any) -> None:
        """Note what a question is about that was known only by half."""
        waits = tuple(replace(wait, **known) if wait is old else wait for wait in self.now.waits)
        self.now = replace(self.now, waits=waits)

    def close_waits(self, over: Callable[[OpenWait], bool], closed_by: str) -> None:
        """Note that questions are settled."""
        closed = [wait for wait in self.now.waits if over(wait)]
        if closed:
            self._closed_waits += [WaitClosed(wait, closed_by) for wait in closed if wait.id is not None]
            self.now = replace(self.now, waits=tuple(wait for wait in self.now.waits if wait not in closed))
            self.remember(ASKED)

    def close_worker(self, subagent_id: str, closed_by: str) -> None:
        """Forget the calls and questions of a subagent that is done, or of the agent itself while it only pauses."""
        tools = {key: call for key, call in self.now.tools.items() if call.subagent_id != subagent_id}
        subagents = tuple(name for name in self.now.subagents if name != subagent_id)
        self.now = replace(self.now, tools=tools, subagents=subagents)
        self.close_waits(lambda wait: wait.subagent_id == subagent_id, closed_by)

    # -- doubts ---------------------------------------------------------------

    def gap(self, key: str, text: str) -> None:
        """Flag what the open command's events lack."""
        command = self.now.command
        if command and key not in command.gaps and len(command.gaps) < GAPS_KEPT:
            self._amend(gaps={**command.gaps, key: text})
            self._moves.append(Move(self.now.state, self.now.state, "gap", text, len(self._done)))

    def settle(self, *keys: str) -> None:
        """Take flags of the open command back: what was missing has come."""
        command = self.now.command
        if command and not command.gaps.keys().isdisjoint(keys):
            self._amend(gaps={key: text for key, text in command.gaps.items() if key not in keys})

    def session_gap(self, key: str, text: str) -> None:
        """Flag what the session's own stream lacks."""
        self.now = replace(self.now, gaps={**self.now.gaps, key: text})

    def settle_session(self, *keys: str) -> None:
        """Take flags of the session back."""
        self.now = replace(self.now, gaps={key: text for key, text in self.now.gaps.items() if key not in keys})

    # -- presence -------------------------------------------------------------

    def present(self, presence: Presence, reason: str) -> None:
        """Say whether the agent is there."""
        self.move(self.now.presence, presence, self.event_name, reason)
        self.reason = reason
        self.now = replace(self.now, presence=presence)

    def incarnate(self, process: Process | None) -> None:
        """Begin the agent's next generation."""
        self.now = replace(self.now, generation=self.now.generation + 1, process=process)


def _change(command: OpenCommand, outcome: Outcome | None = None, reason: str = "") -> CommandChange:
    known = (command.prompt_ids, command.prompt, command.inferred, command.gaps)
    return CommandChange(command.id, command.state, *known, outcome, reason)


def asked(digest: str) -> str:
    """Return what is kept among the settled when a person was asked about a call, until an equal one begins."""
    return f"{ASKED}:{digest}"
