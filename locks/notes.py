"""What is remembered of asking for a lock: counts, times, incidents, and a log line for a wait that was long."""

import logging
from collections.abc import Iterable, Sequence

from locks.conf import conf
from locks.counts import Kind, tally
from locks.errors import LockLost
from locks.holders import Holder, held_by
from locks.incidents import Incident
from locks.keys import LockKey
from locks.labels import current_label

log = logging.getLogger(__name__)

_LONG_WAIT_SECONDS = 1.0


def note_wait(keys: Sequence[LockKey], seconds: float, using: str) -> None:
    """Remember how long it took until the keys were granted."""
    for namespace in {key.namespace for key in keys}:
        tally.time(namespace, "wait", seconds, using)
    if seconds > _LONG_WAIT_SECONDS:
        tally.add("waits_over_1s", using)
    if seconds > conf().told_after.total_seconds():
        tally.tell(_incident("waits_over_1s", keys[0], seconds), using)
        _log("waited %.2f s for %s, as %s", seconds, keys[0])


def note_refusal(key: LockKey, seconds: float, holders: Sequence[Holder], using: str, *, is_skip: bool = False) -> None:
    """Remember that the key was busy."""
    kind: Kind = "skips" if is_skip else "timeouts"
    tally.add(kind, using)
    tally.tell(_incident(kind, key, seconds, holders), using)
    if seconds > _LONG_WAIT_SECONDS:
        tally.add("waits_over_1s", using)
    if seconds > conf().told_after.total_seconds():
        _log("gave up after %.2f s on %s, as %s; held by %s", seconds, key, held_by(holders))


def note_hold(keys: Iterable[LockKey], seconds: float, using: str) -> None:
    """Remember how long the keys were held."""
    for namespace in {key.namespace for key in keys}:
        tally.time(namespace, "hold", seconds, using)


def loss(key: LockKey, using: str) -> LockLost:
    """Return the error for a lock that does not hold any more, and remember it."""
    tally.add("lost", using)
    tally.tell(_incident("lost", key, 0.0), using)
    return LockLost(f"{key} does not hold any more")


def _incident(kind: Kind, key: LockKey, seconds: float, holders: Sequence[Holder] = ()) -> Incident:
    asker = current_label().text
    if not holders:
        return Incident(kind, key.namespace, key.key, key.name or "", asker, seconds)
    return Incident(kind, key.namespace, key.key, key.name or "", asker, seconds, holders[0].label.text, holders[0].pid)


def _log(words: str, seconds: float, key: LockKey, *more: object) -> None:
    label = current_label()
    log.warning(words + " (correlation %s)", seconds, key, label.holder, *more, label.correlation_id or "none")
