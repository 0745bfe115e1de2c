"""A hook as it was delivered: who sent it, what it tells, and by which keys a repeat of it is known."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agents.adapters.base import Adapter
from agents.events import Event, Origin, Payload

_BEGINNING = datetime.fromisoformat("0001-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One hook, read and ready to be received."""

    token_digest: str
    adapter: Adapter
    payload: Payload
    event: Event
    keys: tuple[str, ...]
    """The event key first; after it the keys that an equal payload of just before or just after would have."""
    since: datetime
    """A row with one of the keys is a repeat only when it was received after this."""
    received_at: datetime
    size: int
    truncated: bool = False
    sequence: int | None = None
    occurred_at: datetime | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    correlation_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    @property
    def label(self) -> str:
        """Who asks for a lock."""
        return f"hook {self.event.origin.name or 'unnamed'}"


def keys_of(
    client_key: str, origin: Origin, body: bytes, now: datetime, within: timedelta
) -> tuple[tuple[str, ...], datetime]:
    """Return the keys that tell a repeat, and since when a row with one of them counts.

    A client's own key is good for ever, for the same content, however it is spelled: a spool may write its JSON anew
    before it sends it again, but a client that counts from one again must not have other events swallowed. Where it
    sends none, equal bytes of one moment within a short time are one event that was delivered twice (a handler
    registered twice delivers everything twice at the same moment): the key is the digest with the time slot, and its
    neighbours are looked at too: of two that come around a slot's end either may be recorded first. Later, equal bytes
    are another event (a session resumed again), and so they are where the address tells another vendor or moment, or
    where they come from another process.
    """
    told = hashlib.blake2b(f"{origin.vendor} {origin.name} {origin.process}\0".encode(), digest_size=16)
    told.update(_content_of(body) if client_key else body)
    digest = told.hexdigest()
    if client_key:
        return (f"client:{client_key}:{digest}",), _BEGINNING
    slot = int(now.timestamp() // within.total_seconds())
    return tuple(f"content:{digest}:{near}" for near in (slot, slot - 1, slot + 1)), now - within


def _content_of(body: bytes) -> bytes:
    """Return a JSON text that is equal for equal content, whatever its blanks, escapes and order of keys."""
    return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()


def neighbouring_keys(key: str) -> tuple[str, ...]:
    """Return the keys that an equal payload of the slots beside has; none for a client's own key."""
    kind, _, rest = key.partition(":")
    if kind != "content":
        return ()
    digest, _, slot = rest.partition(":")
    return tuple(f"content:{digest}:{near}" for near in (int(slot) - 1, int(slot) + 1))
