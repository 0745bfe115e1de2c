"""Rows to judgement: what the rules say of an event on the rows that were found."""

from agents.events import Event, Unknown
from agents.situations import Transition
from agents.snapshots import Row, situation_of
from agents.transitions import transition


def judge(found: Row, event: Event) -> tuple[Transition, str]:
    """Return what becomes of the agent, and the outcome that the journal keeps."""
    judged = transition(situation_of(found), event)
    if judged.late:
        return judged, "late"
    return judged, "unsupported" if isinstance(event, Unknown) else "applied"
