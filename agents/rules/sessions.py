"""Rules for the beginning and the end of conversations."""

from dataclasses import replace

from agents import events
from agents.events import Event, Start
from agents.judgement import Judgement
from agents.situations import Situation
from agents.states import Presence, Trigger


def session_started(judgement: Judgement, event: events.SessionStarted) -> None:
    """A conversation began or went on, perhaps in a new process."""
    judgement.settle_session("start", "over", "ended", "sessions")
    if event.start is Start.COMPACT:
        return
    replaced = _is_replaced(judgement.now, event)
    if event.start is not Start.STARTUP or replaced:
        _end_command(judgement, f"its session began again ({event.start}) before a stop was seen")
    if judgement.now.presence is Presence.ENDED or replaced:
        judgement.incarnate(event.origin.process)
        judgement.present(Presence.ALIVE, f"session {event.start}")
    known = event.origin.process or judgement.now.process
    judgement.now = replace(judgement.now, process=known, session_id=event.origin.session_id)


def _end_command(judgement: Judgement, reason: str) -> None:
    """End what is still open; it is the same whether the old session's end or the new one's start is heard first."""
    if judgement.now.background:
        judgement.step(Trigger.COMPLETION, "finished, with work left in the background when its session ended")
    else:
        judgement.step(Trigger.END, reason)


def _is_replaced(situation: Situation, event: Event) -> bool:
    process = event.origin.process
    return bool(process and situation.process and process != situation.process)


def session_ended(judgement: Judgement, event: events.SessionEnded) -> None:
    """A conversation is over; what was still open in it is abandoned."""
    judgement.session_over = True
    judgement.end_reason = event.reason
    judgement.settle_session("sessions")
    if event.origin.session_id != judgement.now.session_id:
        return  # the end of an earlier session of an agent that went on
    judgement.settle_session("over")
    _end_command(judgement, "its session ended before a stop was seen")
    if not event.continues:
        judgement.present(Presence.ENDED, f"session ended: {event.reason or 'no reason given'}")
