"""What every adapter can do: one vendor's translator, pure both ways."""

from collections.abc import Mapping
from typing import Any, Protocol

from agents.decisions import Decision
from agents.events import Event, Payload


class Adapter(Protocol):
    """Translate a vendor's payloads into events, and our decisions into its answers."""

    vendor: str
    """The name in the hook's address, as `claude-code`."""

    def parse(self, payload: Payload, *, name: str = "") -> Event:
        """Return what the payload tells.

        ``name`` is the moment where the address names it; otherwise the payload does. Raises ``AnomalousPayload``
        when the session id is missing or a field that a rule rests on has another type. An event that is known and
        of no use becomes ``Noted``, one that is unknown becomes ``Unknown``.
        """

    def render(self, decision: Decision, payload: Payload, *, name: str = "") -> Mapping[str, Any] | None:
        """Return the vendor's decision JSON, or None where an empty answer says it; ``name`` as for ``parse``."""

    def gated_moment(self, body: bytes, *, name: str = "") -> str:
        """Return the moment that waits for a decision, as far as a body that cannot be read shows one; else nothing."""
