"""A hook that waited in the journal, as the delivery that it was."""

from agents import conf
from agents.adapters import ADAPTERS
from agents.deliveries import Delivery, neighbouring_keys
from agents.headers import with_process
from agents.models import HookEvent


def delivery_of(row: HookEvent) -> Delivery:
    """Return the delivery that a journaled hook was, but for the token that it came with.

    Its keys are those of repeats that it could not see when it came: an equal one, a slot before or after, that was
    written or waited at the same time.
    """
    adapter = ADAPTERS[row.vendor]
    event = with_process(adapter.parse(row.payload, name=row.name), row.headers)
    return Delivery(
        token_digest="",
        adapter=adapter,
        payload=row.payload,
        event=event,
        keys=neighbouring_keys(row.key),
        since=row.received_at - conf.duplicate_within(),
        received_at=row.received_at,
        size=row.size,
    )
