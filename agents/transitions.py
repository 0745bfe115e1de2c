"""The rules: what an event makes of an agent. Pure: no database, no clock, no settings.

``transition`` is the only door. Each kind of event has one small rule below, which uses the verbs of ``Judgement``;
the target of every move comes from ``states.TABLE``.

Rules that hold for all of them:

- An event that names a prompt which is over changes nothing any more, whatever the order of arrival (M5), except that
  a stop tells how a command ended whose end had only been concluded.
- What a subagent does never opens or closes a command.
- A question is settled by its own call, never by another one's end (X4).
- What is missing is flagged as a gap, never made up (X21).
"""

from collections.abc import Callable, Mapping
from typing import Any

from agents import events
from agents.decisions import Decision
from agents.events import Event, Start
from agents.gate import gate
from agents.judgement import Judgement
from agents.rules import sessions, tools, turns
from agents.situations import Situation, Transition
from agents.states import Presence, Trigger


def transition(situation: Situation, event: Event, told: Decision | None = None) -> Transition:
    """Return what the event makes of the agent; total over situations and events.

    What its vendor is told is decided by the agent's mode, unless it was ``told`` before.
    """
    judgement = Judgement(situation, event.origin, event.origin.name)
    judgement.decision = gate(situation.mode, event) if told is None else told
    if situation.presence is Presence.ENDED and not _revives(event):
        _late(judgement, event)
        return judgement.freeze()
    if situation.presence is Presence.UNKNOWN:
        judgement.present(Presence.ALIVE, "heard again")
    if _is_of_another_session(judgement, event):
        _beside(judgement, event)
    elif not _is_of_a_subagent(event):
        _RULES.get(type(event), _nothing)(judgement, event)
    return judgement.freeze()


def lost(situation: Situation, reason: str) -> Transition:
    """Return what becomes of an agent whose process is known to be gone; nothing if it has ended already."""
    if situation.presence is Presence.ENDED:
        return Transition(situation)
    judgement = Judgement(situation, events.Origin("", situation.session_id), "reap")
    judgement.step(Trigger.LOSS, reason)
    judgement.present(Presence.ENDED, reason)
    judgement.session_over = True
    judgement.end_reason = reason
    return judgement.freeze()


def unheard(situation: Situation, reason: str) -> Transition:
    """Return what becomes of an agent that was silent for too long: silence labels, it never ends nor revives."""
    if situation.presence is Presence.ENDED:
        return Transition(situation)
    judgement = Judgement(situation, events.Origin("", situation.session_id), "reap")
    judgement.present(Presence.UNKNOWN, reason)
    return judgement.freeze()


def _revives(event: Event) -> bool:
    return isinstance(event, events.SessionStarted) and event.start in (Start.RESUME, Start.CLEAR, Start.FORK)


def _late(judgement: Judgement, event: Event) -> None:
    """Judge what arrives after the end: it may tell how the last command ended, or that the end was none."""
    judgement.late = True
    if isinstance(event, events.ToolRequested) and not event.origin.subagent_id and judgement.is_past():
        # The client waits for us before it calls: this is no late hook (two terminals on one conversation).
        judgement.session_gap("ended", "it works on, but it was taken for ended")
    elif _is_work(event) and event.origin.prompt_id and not judgement.is_past():
        judgement.session_gap("ended", "it works on a new prompt, but it was taken for ended")
    elif isinstance(event, events.TurnStopped | events.TurnFailed) and not _is_of_a_subagent(event):
        turns.amend_end(judgement, event)


def _is_of_another_session(judgement: Judgement, event: Event) -> bool:
    """Whether it belongs to an earlier session of the agent, and not merely to a prompt that is over there."""
    present = judgement.now.session_id
    if not present or event.origin.session_id == present or judgement.is_past():
        return False
    return not isinstance(event, events.SessionStarted | events.SessionEnded)


def _beside(judgement: Judgement, event: Event) -> None:
    """Flag that two conversations claim the agent; the earlier one does not touch the present one's command (X2)."""
    if _is_work(event):
        judgement.session_gap("sessions", "an earlier conversation of it is heard beside the present one")


def _is_work(event: Event) -> bool:
    return isinstance(event, _WORK) and not event.origin.subagent_id


def _is_of_a_subagent(event: Event) -> bool:
    return bool(event.origin.subagent_id) and isinstance(event, _OF_THE_MAIN_AGENT)


def _nothing(judgement: Judgement, event: Event) -> None:
    """Kinds without a rule only show that the agent lives, and where and with which model."""


_OF_THE_MAIN_AGENT = (
    events.PromptSubmitted
    | events.TextShown
    | events.TurnStopped
    | events.TurnFailed
    | events.TurnInterrupted
    | events.CompactionStarted
)
"""Kinds that say nothing of the agent when they happen inside a subagent."""

_WORK = (
    events.PromptSubmitted
    | events.ToolRequested
    | events.ToolFinished
    | events.PermissionRequested
    | events.TurnStopped
    | events.TurnFailed
)
"""Kinds that show that the agent works."""

_RULES: Mapping[type[Event], Callable[[Judgement, Any], None]] = {
    events.SessionStarted: sessions.session_started,
    events.SessionEnded: sessions.session_ended,
    events.PromptSubmitted: turns.prompt_submitted,
    events.TextShown: turns.text_shown,
    events.TurnStopped: turns.turn_stopped,
    events.TurnFailed: turns.turn_failed,
    events.TurnInterrupted: turns.turn_interrupted,
    events.CompactionStarted: turns.compaction_started,
    events.ToolRequested: tools.tool_requested,
    events.ToolFinished: tools.tool_finished,
    events.ToolsSettled: tools.tools_settled,
    events.PermissionRequested: tools.permission_requested,
    events.PermissionDenied: tools.permission_denied,
    events.AttentionWanted: tools.attention_wanted,
    events.SubagentStarted: tools.subagent_started,
    events.SubagentStopped: tools.subagent_stopped,
}
