"""What the monitor saw, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from locks.durations import duration
from locks.incidents import Kind
from locks.keys import namespace_name
from locks.labels import Label
from locks.markers import SeenLock
from locks.models import Incident


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
    connected_seconds: float = 0.0

    @property
    def label(self) -> Label:
        """Who it says it is."""
        return Label.read(self.application_name) or Label(self.application_name or "unknown")

    @property
    def is_idle(self) -> bool:
        """Whether its transaction is open while nothing is being done in it."""
        return self.state.startswith("idle in transaction")


class Lock(NamedTuple):
    """One advisory lock, held or waited for, with everything that is known about it."""

    seen: SeenLock
    session: Session | None
    """None where it ended meanwhile, or for a prepared transaction."""
    name: str | None = None
    """What the key stands for, where somebody knows."""
    text: str | None = None
    """What the key was made of, where it was a text."""
    blocked_by: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    position: int | None = None
    """Of who waits: the place in the queue, by when the wait began; 1 is next."""

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
        return f"{self.namespace} {self.text or self.seen.key}" + (f" ({self.name})" if self.name else "")

    @property
    def since(self) -> str:
        """For how long it has been held or waited for, for a person."""
        seconds = self.seen.held_seconds if self.seen.raw.granted else self.seen.wait_seconds
        if seconds is not None:
            return duration(seconds)
        return "unknown" if self.held_at_most is None else f"at most {duration(self.held_at_most)}"

    @property
    def held_at_most(self) -> float | None:
        """Seconds: as long as what it lasts for; None where nobody knows, or where it is known better."""
        if not self.seen.raw.granted or self.seen.held_seconds is not None or self.session is None:
            return None
        is_session = self.scope == "session"
        return self.session.connected_seconds if is_session else self.session.transaction_seconds

    @property
    def ghost(self) -> str | None:
        """Why nobody will account for this lock, if so: it has no marker of ours."""
        if self.seen.is_marked or not self.seen.raw.granted:
            return None
        return "held by an idle connection" if self._is_of_idle_session else "taken outside our API"

    @property
    def _is_of_idle_session(self) -> bool:
        return self.session is not None and self.session.state == "idle"

    @property
    def scope(self) -> str:
        """How long it lasts: known for ours, concluded for others (held outside a transaction: for the session)."""
        if self.seen.is_marked:
            return "session" if self.seen.is_session else "transaction"
        return "session" if self.session is None or self.session.is_outside_transaction else "transaction"

    def as_json(self) -> dict[str, object]:
        """Return the lock as the API shows it."""
        label = self.session.label if self.session else Label("unknown")
        return {
            "namespace": self.namespace,
            "key": self.seen.key,
            "agent": self.name,
            "name": self.text,
            "mode": self.mode,
            "granted": self.seen.raw.granted,
            "pid": self.seen.raw.pid,
            "holder": label.holder,
            "correlation_id": label.correlation_id or None,
            "held_seconds": _rounded(self.seen.held_seconds),
            "held_at_most": _rounded(self.held_at_most),
            "wait_seconds": _rounded(self.seen.wait_seconds),
            "queue_position": self.position,
            "blocked_by": list(self.blocked_by),
            "blocks": list(self.blocks),
            "scope": self.scope,
            "client": self.session.client if self.session else "",
            "ghost": self.ghost,
        }


class Room(NamedTuple):
    """How full the server's table of locks is; all databases share it."""

    taken: int = 0
    nominal: int = 0
    """It may hold more, as long as other shared memory is free."""

    @property
    def percent(self) -> float:
        """How full it is; more than 100 where other memory has been used."""
        return 100 * self.taken / self.nominal if self.nominal else 0.0

    @property
    def low(self) -> int:
        """From here on it is worth a look."""
        return self.nominal // 4

    @property
    def high(self) -> int:
        """From here on it is dangerous: a statement that finds no room fails, whoever's it is."""
        return self.nominal // 2


@dataclass(frozen=True, slots=True)
class Load:
    """How much is going on."""

    held: int
    waiting: int
    oldest_wait_seconds: float
    ghosts: int
    room: Room


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All advisory locks of one database at one moment."""

    locks: tuple[Lock, ...]
    """By what is locked, the holders first, then who waits, the longest first."""
    sessions: Mapping[int, Session] = field(default_factory=dict)
    recent: Mapping[Kind, int] = field(default_factory=dict)
    room: Room = field(default_factory=Room)
    incidents: Sequence[Incident] = ()
    """The newest first."""

    @property
    def ghosts(self) -> tuple[Lock, ...]:
        """The locks that were taken outside our API."""
        return tuple(lock for lock in self.locks if lock.ghost)

    def as_json(self) -> dict[str, object]:
        """Return it as the API shows it."""
        return {
            "count": len(self.locks),
            "locks": [lock.as_json() for lock in self.locks],
            "recent": dict(self.recent),
            "room": self.room._asdict(),
            "incidents": [incident.as_json() for incident in self.incidents],
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
