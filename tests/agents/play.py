"""A pure player: tells events to the rules one by one, and keeps and forbids what the database would."""

from dataclasses import dataclass, field, replace

from agents import events
from agents.events import Asking, Origin, Speaker, Start, Tool
from agents.situations import OpenCommand, OpenWait, Situation
from agents.states import CommandState, Outcome
from agents.transitions import lost, transition, unheard

OPEN = {CommandState.COMMANDED, CommandState.PROCESSING, CommandState.AWAITING_INPUT}


@dataclass
class CommandRow:
    """A command as it is kept."""

    id: int
    state: CommandState
    prompt_ids: tuple = ()
    prompt: str = ""
    inferred: bool = False
    gaps: dict = field(default_factory=dict)
    outcome: Outcome | None = None
    reason: str = ""


@dataclass
class WaitRow:
    """A wait as it is kept; ``wait`` has its id."""

    wait: OpenWait
    closed_by: str = ""


class Play:
    """One agent's life, as far as it was told."""

    def __init__(self, situation=None):
        self.situation = situation or Situation()
        self.commands, self.waits, self.turns, self.moves = [], [], [], []
        self.decisions, self.late = [], []
        self.ids = iter(range(1, 1_000_000))

    def tell(self, *told):
        for event in told:
            judged = self._write(transition(self.situation, event))
            self.decisions.append(judged.decision)
            if judged.late:
                self.late.append(event)
        return self

    def lose(self, reason="its process is gone"):
        self._write(lost(self.situation, reason))
        return self

    def miss(self, reason="nothing was heard for a long time"):
        self._write(unheard(self.situation, reason))
        return self

    @property
    def state(self):
        return self.situation.state

    @property
    def presence(self):
        return self.situation.presence

    @property
    def ambiguous(self):
        return self.situation.ambiguous

    @property
    def command(self):
        """The last command, open or not."""
        return self.commands[-1]

    @property
    def outcomes(self):
        """How the commands ended, in order; None for the open one."""
        return [row.outcome for row in self.commands]

    @property
    def open_waits(self):
        return [row.wait for row in self.waits if not row.closed_by]

    @property
    def waited_for(self):
        """The calls that a person is asked about."""
        return [wait.use_id for wait in self.open_waits]

    @property
    def said(self):
        """What was said, as (actor, intent, text)."""
        return [(turn.actor.value, turn.intent.value, turn.text) for turn, _ in self.turns]

    # Each step below is one of the writes of agents_record, in its order.

    def _write(self, judged):
        self.last = judged
        for closed in judged.closed_waits:
            self._close(closed)
        written = [self._write_command(change) for change in judged.commands]
        self._write_waits(judged.after.waits)
        for turn in judged.turns:
            assert written[turn.command], "a turn belongs to a command"
            self.turns.append((turn, written[turn.command]))
        for move in judged.moves:
            assert move.command is None or written or self._open_row()
            self.moves.append(move)
        self.situation = self._read_again(judged.after)
        return judged

    def _close(self, closed):
        assert closed.closed_by
        for row in self.waits:
            if row.wait.id == closed.wait.id and not row.closed_by:
                row.closed_by = closed.closed_by

    def _write_command(self, change):
        if change.past_prompt_id:
            return self._correct(change)
        assert (change.outcome is not None) is (change.state is CommandState.COMPLETE)
        row = self._row(change)
        assert row.state is not CommandState.COMPLETE or row not in self.commands, "complete is terminal"
        row.state, row.prompt_ids, row.inferred = change.state, change.prompt_ids, change.inferred
        row.prompt, row.gaps = change.prompt or row.prompt, dict(change.gaps)
        row.outcome, row.reason = change.outcome, change.reason
        if row not in self.commands:
            self.commands.append(row)
        assert sum(row.state in OPEN for row in self.commands) <= 1, "at most one command is open"
        return row

    def _row(self, change):
        if change.id is None:
            return CommandRow(next(self.ids), change.state)
        return next(row for row in self.commands if row.id == change.id)

    def _correct(self, change):
        found = [row for row in self.commands if change.past_prompt_id in row.prompt_ids and row.state not in OPEN]
        for row in found:
            row.outcome, row.reason = change.outcome or row.outcome, change.reason or row.reason
            row.inferred, row.prompt = row.inferred and not change.prompt, change.prompt or row.prompt
            row.gaps = {key: text for key, text in row.gaps.items() if key != change.settles}
        assert len(found) <= 1, "a prompt belongs to one command"
        return found[0] if found else None

    def _write_waits(self, waits):
        known = {row.wait.id: row for row in self.waits}
        for wait in waits:
            if wait.id is None:
                self.waits.append(WaitRow(replace(wait, id=next(self.ids))))
            else:
                row = known[wait.id]
                row.wait = replace(row.wait, use_id=wait.use_id, digest=wait.digest, tool_name=wait.tool_name)
        named = [use_id for use_id in self.waited_for if use_id]
        assert len(named) == len(set(named)), "a call is waited for once"
        assert not self.open_waits or self._open_row(), "a wait belongs to an open command"

    def _open_row(self):
        return next((row for row in self.commands if row.state in OPEN), None)

    def _read_again(self, after):
        """Return the situation that the rows tell: what a judgement says must be what it writes."""
        row = self._open_row()
        command = row and OpenCommand(row.id, row.state, row.prompt_ids, inferred=row.inferred, gaps=row.gaps)
        waits = tuple(replace(wait, text="") for wait in self.open_waits)
        again = replace(after, command=command, waits=waits)
        assert _nameless(again) == _nameless(after), "what is written differs from what was judged"
        return again


def _nameless(situation):
    command = situation.command and replace(situation.command, id=0, prompt="", gaps=dict(situation.command.gaps))
    waits = [replace(wait, id=0, text="") for wait in situation.waits]
    return command, sorted(map(repr, waits))


def kind(event):
    """Return the event's name for a test's id."""
    return type(event).__name__


def play(*told, situation=None):
    return Play(situation).tell(*told)


def mode_play(mode, *told):
    return play(*told, situation=Situation(mode=mode))


# What is told: each returns one event. ``where`` is prompt="p1", session="s1", sub="", and anything else of an origin.


def origin(prompt="p1", session="s1", sub="", **more):
    return Origin("claude-code", session, prompt_id=prompt, subagent_id=sub, **more)


def tool(use_id, name="Bash", **more):
    return Tool(name, use_id=use_id, digest=more.pop("digest", f"d-{use_id}"), **more)


def start(how=Start.STARTUP, **where):
    return events.SessionStarted(origin(**{"prompt": "", **where}), start=how)


def end(reason="other", **where):
    return events.SessionEnded(origin(**where), reason=reason, continues=reason in ("clear", "resume"))


def prompt(name="p1", text="Do it.", **where):
    return events.PromptSubmitted(origin(name, **where), text=text)


def machine(name="p2", text="A task has ended.", **where):
    return events.PromptSubmitted(origin(name, **where), text=text, speaker=Speaker.MACHINE)


def pre(use_id, **where):
    return events.ToolRequested(origin(**where), tool=tool(use_id))


def question(use_id, asking=Asking.QUESTION, **where):
    return events.ToolRequested(origin(**where), tool=tool(use_id, "Ask", asking=asking), text="Red or blue?")


def post(use_id, failed=False, interrupted=False, **where):
    return events.ToolFinished(origin(**where), tool=tool(use_id), failed=failed, interrupted=interrupted)


def batch(*use_ids, **where):
    return events.ToolsSettled(origin(**where), use_ids=use_ids)


def permission(use_id, **where):
    """Ask about a call, known by what it does alone, as the client tells it."""
    return events.PermissionRequested(origin(**where), tool=replace(tool(use_id), use_id=""), text="touch x")


def denied(use_id, **where):
    return events.PermissionDenied(origin(**where), tool=tool(use_id), reason="It looks dangerous.")


def notice(asking=Asking.PERMISSION, **where):
    return events.AttentionWanted(origin(**where), asking=asking, text="I wait.")


def text(said="Hm.", **where):
    return events.TextShown(origin(**where), text=said)


def stop(said="Done.", background=(), **where):
    return events.TurnStopped(origin(**where), text=said, background=tuple(background))


def failure(error="overloaded", **where):
    return events.TurnFailed(origin(**where), error=error, text="API Error")


def interrupt(**where):
    return events.TurnInterrupted(origin(**where))


def sub_start(sub, **where):
    return events.SubagentStarted(origin(sub=sub, **where))


def sub_stop(sub, **where):
    return events.SubagentStopped(origin(sub=sub, **where))


def compaction(by_person=False, **where):
    return events.CompactionStarted(origin(**where), by_person=by_person)


def noted(**where):
    return events.Noted(origin(**where))


def unknown(**where):
    return events.Unknown(origin(**where))
