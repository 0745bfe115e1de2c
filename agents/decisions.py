"""What we may answer to a vendor that waits for us."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer; the kinds below say which."""


@dataclass(frozen=True, slots=True)
class Proceed(Decision):
    """No opinion: the vendor goes on as if nobody had been asked. Answered with an empty body."""


@dataclass(frozen=True, slots=True)
class Allow(Decision):
    """Go on without asking a person."""


@dataclass(frozen=True, slots=True)
class Deny(Decision):
    """Do not; the reason reaches the model."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ask(Decision):
    """Ask a person first; the reason is shown to them."""

    reason: str


PROCEED = Proceed()

_KINDS: dict[str, type[Allow] | type[Deny] | type[Ask]] = {"allow": Allow, "deny": Deny, "ask": Ask}


def decision_as_row(decision: Decision) -> dict[str, str] | None:
    """Return the form in which the journal keeps an answer; no opinion is nothing."""
    for name, kind in _KINDS.items():
        if isinstance(decision, kind):
            return {"decision": name, "reason": getattr(decision, "reason", "")}
    return None


def decision_of_row(row: dict[str, str] | None) -> Decision:
    """Return the answer that the journal kept."""
    if not row:
        return PROCEED
    kind = _KINDS[row["decision"]]
    return kind() if kind is Allow else kind(row["reason"])  # type: ignore[call-arg]
