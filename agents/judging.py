"""Rows to judgement: what the rules say of an event on the rows that were found."""

from agents.decisions import Decision
from agents.events import Event, Unknown
from agents.situations import Transition
from agents.snapshots import Row, situation_of
from agents.transitions import transition


def judge(found: Row, event: Event, told: Decision | None = None) -> tuple[Transition, str]:
    """Return what becomes of the agent, and the outcome that the journal keeps.

    ``told`` is what the vendor was answered already, where the event waited: what it did then rests on that.
    """
    judged = transition(situation_of(found), event, told)
    if judged.late:
        return judged, "late"
    return judged, "unsupported" if isinstance(event, Unknown) else "applied"
