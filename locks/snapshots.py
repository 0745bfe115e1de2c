"""What the monitor saw, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from locks.counts import Kind
from locks.keys import namespace_name
from locks.labels import Label
from locks.markers import SeenLock


@dataclass(frozen=True, slots=True)
class Session:
    """A connection of the database that holds or waits for an advisory lock, or stands in the way of one that does."""

    pid: int
    application_name: str
    state: str
    """PostgreSQL's word: active, idle, idle in transaction, …"""
    client: str
    """Address and port, 'local' for a socket, empty where it may not be seen."""
    transaction_seconds: float
    is_outside_transaction: bool
    """Between transactions, or in a statement that is its own."""
    blocked_by: tuple[int, ...]
    """The sessions for which it waits, whatever it waits for."""

    @property
    def label(self) -> Label:
        """Who it says it is."""
        return Label.read(self.application_name) or Label(self.application_name or "unknown")


@dataclass(frozen=True, slots=True)
class Lock:
    """One advisory lock, held or waited for, with everything that is known about it."""

    seen: SeenLock
    session: Session | None
    """None where it ended meanwhile, or for a prepared transaction."""
    name: str | None
    """What the key stands for, where somebody knows."""
    blocked_by: tuple[int, ...]
    blocks: tuple[int, ...]

    @property
    def namespace(self) -> str | None:
        """The namespace's name; None for a lock that was not taken through us."""
        return None if self.seen.namespace is None else namespace_name(self.seen.namespace)

    @property
    def mode(self) -> str:
        """exclusive or shared."""
        return "exclusive" if self.seen.raw.mode == "ExclusiveLock" else "shared"

    @property
    def title(self) -> str:
        """What is locked, for a person."""
        if self.seen.namespace is None:
            return f"key {self.seen.key}, not ours"
        return f"{self.namespace} {self.seen.key}" + (f" ({self.name})" if self.name else "")

    @property
    def since(self) -> str:
        """For how long it has been held or waited for, for a person."""
        seconds = self.seen.held_seconds if self.seen.raw.granted else self.seen.wait_seconds
        return "unknown" if seconds is None else duration(seconds)

    @property
    def scope(self) -> str:
        """How long it lasts: known for ours, concluded for others (held outside a transaction: for the session)."""
        is_session = not self.seen.is_marked and (self.session is None or self.session.is_outside_transaction)
        return "session" if is_session else "transaction"

    def as_json(self) -> dict[str, object]:
        """Return the lock as the API shows it."""
        label = self.session.label if self.session else Label("unknown")
        return {
            "namespace": self.namespace,
            "key": self.seen.key,
            "agent": self.name,
            "mode": self.mode,
            "granted": self.seen.raw.granted,
            "pid": self.seen.raw.pid,
            "holder": label.holder,
            "correlation_id": label.correlation_id or None,
            "held_seconds": _rounded(self.seen.held_seconds),
            "wait_seconds": _rounded(self.seen.wait_seconds),
            "blocked_by": list(self.blocked_by),
            "blocks": list(self.blocks),
            "scope": self.scope,
            "client": self.session.client if self.session else "",
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All advisory locks of one database at one moment."""

    locks: tuple[Lock, ...]
    """By what is locked, the holders first, then who waits, the longest first."""
    sessions: Mapping[int, Session] = field(default_factory=dict)
    recent: Mapping[Kind, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return it as the API shows it."""
        return {"count": len(self.locks), "locks": [lock.as_json() for lock in self.locks], "recent": dict(self.recent)}


def duration(seconds: float) -> str:
    """Return seconds in the two largest units that matter, for a person."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.2f} s"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
