"""What an operator's mode lets through: pure, and the same wherever a vendor waits for us."""

from agents.decisions import PROCEED, Decision, Deny
from agents.events import Event, PermissionRequested, ToolRequested
from agents.states import Mode

_ALL_REFUSED = {
    Mode.HOLD: "Headspace: an operator has put this agent on hold. Stop here and wait; do not try another way.",
    Mode.STOPPED: "Headspace: an operator has stopped this agent. Do not go on.",
}
_WRITES_REFUSED = "Headspace: this agent is read-only by an operator's order. It may look at things but not change any."


def is_gated(event: Event) -> bool:
    """Return whether the vendor waits for what we say about it."""
    return isinstance(event, ToolRequested | PermissionRequested)


def gate(mode: Mode, event: Event) -> Decision:
    """Return what the vendor is told about a call: a denial where the mode forbids it, else no opinion."""
    if not isinstance(event, ToolRequested | PermissionRequested):  # spelled out: the type checker follows it
        return PROCEED
    if mode in _ALL_REFUSED:
        return Deny(_ALL_REFUSED[mode])
    if mode is Mode.READ_ONLY and event.tool.writes:
        return Deny(_WRITES_REFUSED)
    return PROCEED
