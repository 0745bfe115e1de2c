"""A hook that waited in the journal, as the delivery that it was."""

from agents import conf
from agents.adapters import ADAPTERS
from agents.deliveries import Delivery, previous_key
from agents.headers import with_process
from agents.models import HookEvent


def delivery_of(row: HookEvent) -> Delivery:
    """Return the delivery that a journaled hook was, but for the token that it came with.

    Its keys are those of repeats that it could not see when it came: two equal ones that waited, one slot apart.
    """
    adapter = ADAPTERS[row.vendor]
    event = with_process(adapter.parse(row.payload, name=row.name), row.headers)
    before = previous_key(row.key)
    return Delivery(
        token_digest="",
        adapter=adapter,
        payload=row.payload,
        event=event,
        keys=(before,) if before else (),
        since=row.received_at - conf.duplicate_within(),
        received_at=row.received_at,
        size=row.size,
    )
