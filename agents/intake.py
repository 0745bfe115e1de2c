"""The one place where an event becomes rows: look, decide, record; and where that is not possible now, store.

A hook that finds nobody in its way costs two messages to the server, or one where this process wrote the agent last.
It decides on the rows it saw without a lock; the record takes the agent's lock and writes only if they still stand,
otherwise the hook decides again on what is there now. That is as safe as lock, read, decide, write, and holds the lock
for as long as the writing takes.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from time import monotonic

from django.db import InterfaceError, OperationalError, connection, transaction

from agents import conf, inbox
from agents.adoption import adopt, expected_mode
from agents.decisions import PROCEED, Decision
from agents.deliveries import Delivery
from agents.events import Unknown
from agents.gate import gate, is_gated
from agents.judging import judge
from agents.memory import Memory
from agents.plans import Change
from agents.record import ANY, Sight, look, record, store
from agents.states import Mode
from locks import Busy, Lanes, LockLost, LockNamespace, advisory_lock, labelled

log = logging.getLogger(__name__)

_memory = Memory()

_TRIES = 3
"""How often a hook decides again before it takes the lock first and decides under it."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a hook, and what its vendor is told."""

    outcome: str
    decision: Decision = PROCEED


def receive(delivery: Delivery) -> Receipt:
    """Apply a hook, or store it as pending where its agent stays busy. Raises ``UnknownHost``.

    A connection that is lost on the way leaves open whether the hook was written. Asking again tells: its key is
    in the journal if it was. So it is tried once more on a new connection.
    """
    # A lost connection is noticed by using it: asking first whether it still works would be one message more.
    connection.health_check_done = True  # type: ignore[attr-defined]
    before = connection.connection
    try:
        return _receive(delivery)
    except (LockLost, OperationalError, InterfaceError):
        # The end of a transaction that lost its connection has opened another one.
        is_same = connection.connection is before and connection.is_usable()
        if connection.in_atomic_block or is_same:
            raise
        _memory.forget_all()  # another server may stand there now, which knows less
        log.warning("%s: connection lost, asking again [%s]", delivery.label, delivery.correlation_id)
        connection.close()
        return _receive(delivery)


def _receive(delivery: Delivery) -> Receipt:
    patience = conf.busy_after()
    deadline = monotonic() + patience.total_seconds()
    with _lanes().enter(_place(delivery), patience) as admitted:
        if admitted:
            try:
                return _settle(delivery, deadline)
            except Busy as busy:
                log.info("busy: %s stored as pending, %s [%s]", delivery.label, busy, delivery.correlation_id)
    return _leave_in_inbox(delivery)


@cache
def _lanes() -> Lanes:
    return Lanes(conf.waiters_per_agent())


def _place(delivery: Delivery) -> tuple[str, str, str]:
    """Return what hooks of one session have in common before anything is looked up."""
    origin = delivery.event.origin
    return (delivery.token_digest, origin.vendor, origin.session_id)


def _settle(delivery: Delivery, deadline: float) -> Receipt:
    place = _place(delivery)
    sight = _memory.recall(place) or look(delivery)
    for _ in range(_TRIES):
        if sight.is_repeat:
            return _again(delivery, sight)
        decided = _decide(delivery, sight, deadline) if sight.is_ready else None
        if decided is None:
            break
        sight, receipt = decided
        if sight.was_written:
            _memory.keep(place, sight)
            return receipt
    return _settle_in_order(delivery, sight, deadline)


def _decide(delivery: Delivery, sight: Sight, deadline: float) -> tuple[Sight, Receipt] | None:
    """Judge the event on what was seen and record that; return what is there now, and the receipt if it was written.

    None when the hook cannot be applied, and nothing was written: the inbox journals it.
    """
    assert sight.found is not None
    try:
        judged, outcome = judge(sight.found, delivery.event)
        change = Change(
            sight.found,
            judged,
            delivery.received_at,
            delivery,
            outcome=outcome,
            who=delivery.label,
            correlation_id=delivery.correlation_id,
        )
        return record(change, delivery, _remaining(deadline)), Receipt(outcome, judged.decision)
    except inbox.NOT_ITS_FAULT:
        raise
    except Exception:
        log.exception("%s cannot be applied [%s]", delivery.label, delivery.correlation_id)
        return None


def _settle_in_order(delivery: Delivery, sight: Sight, deadline: float) -> Receipt:
    """Lock first, then apply: a session's first hook, one behind a filled inbox, and one that was overtaken too often.

    It goes through the inbox as well, so that what waits there comes before or after it as the client meant (C2).
    """
    with labelled(delivery.label, delivery.correlation_id), transaction.atomic():
        agent_id = sight.agent_id
        if agent_id is None:
            if isinstance(delivery.event, Unknown):
                noted = inbox.note(delivery, sight.host_id, "unsupported")
                return Receipt("unsupported" if noted else "duplicate")
            agent_id = adopt(delivery, sight.host_id, _remaining(deadline))
        with advisory_lock(LockNamespace.AGENT, agent_id, timeout=_remaining(deadline)):
            receipt = _leave_in_inbox(delivery)
            if receipt.outcome == "pending":
                # Who was turned away while others waited in the lane comes after them (C2).
                until = delivery.received_at if _lanes().waiting(_place(delivery)) else None
                inbox.drain(agent_id, delivery.received_at, until)
                receipt = Receipt(inbox.outcome_of(delivery, sight.host_id), receipt.decision)
    return receipt


def _again(delivery: Delivery, sight: Sight) -> Receipt:
    """Answer a repeat as the first was answered; where that was no opinion, the mode of now may still forbid it."""
    return Receipt("duplicate", sight.answer if sight.answer != PROCEED else _gated(delivery, sight))


def _gated(delivery: Delivery, sight: Sight) -> Decision:
    """Return what the last committed mode says: a session without an agent has that of the one that it will get."""
    if not is_gated(delivery.event):
        return PROCEED
    return gate(sight.mode or expected_mode(delivery, sight.host_id), delivery.event)


def _remaining(deadline: float) -> timedelta:
    return timedelta(seconds=max(0.001, deadline - monotonic()))


def _leave_in_inbox(delivery: Delivery) -> Receipt:
    """Store the hook; a restricted agent's call is refused by the mode that is committed when it is stored.

    Most agents may run, so the first try takes that for granted; where it is not so, the answer is decided again.
    """
    decision: Decision = PROCEED
    sight = store(delivery, decision, Mode.RUN if is_gated(delivery.event) else ANY)
    while not sight.is_repeat and not sight.was_written:
        decision = _gated(delivery, sight)
        sight = store(delivery, decision, sight.mode)
    return _again(delivery, sight) if sight.is_repeat else Receipt("pending", decision)
