"""What the machine's actors really do, and what PostgreSQL really says."""

import time
from collections import Counter, defaultdict

from django.db import connection, connections, transaction

from locks import (
    AdvisoryLockError,
    advisory_lock,
    advisory_lock_or_skip,
    advisory_locks,
    advisory_locks_or_skip,
)
from locks.asks import Ask
from locks.transactional import take
from tests.locks.actors import ask
from tests.locks.stateful_model import ENTERED, KEYS, SKIPPED

SETTLED_WITHIN = 3.0
"""Seconds after which what PostgreSQL says is final: a session that was ended is gone a little later."""
PATIENCE = 5
"""Seconds that an ask with patience waits; longer than it takes until somebody lets go."""

_IDS = {key.id: key for key in KEYS}
_LOCKS = """
    SELECT pid, mode, granted, classid::bigint, objid::bigint, objsubid FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      -- Not the guards of those who verified.
      AND NOT (objsubid = 2 AND classid::bigint >= 2147483648 AND objid::bigint >= 4294967294)
"""


class Undone(Exception):
    """Ends a block that is to be rolled back."""


def answered(asking):
    """Ask, in the actor's thread: the answer, the block and what it yielded."""
    try:
        return _entered(asking)
    except AdvisoryLockError as refusal:
        return type(refusal).__name__, None, None


def _entered(asking):
    patience = PATIENCE if asking.is_patient else 0
    if asking.way == "take":
        take(Ask(asking.keys, patience * 1000, "transaction", asking.is_shared, "default"))
        return ENTERED, None, None
    block = _block(asking, patience)
    held = block.__enter__()
    if held is False:
        block.__exit__(None, None, None)
        return SKIPPED, None, None
    return ENTERED, block, None if held is True else held


def _block(asking, patience):
    how = {"scope": "session" if asking.is_session else "transaction", "shared": asking.is_shared}
    if asking.way == "skip":
        if len(asking.keys) > 1:
            return advisory_locks_or_skip(asking.keys[::-1], **how)
        return advisory_lock_or_skip(asking.keys[0].namespace, asking.keys[0].name or asking.keys[0].key, **how)
    if len(asking.keys) > 1:
        return advisory_locks(asking.keys[::-1], timeout=patience, **how)
    return advisory_lock(asking.keys[0].namespace, asking.keys[0].name or asking.keys[0].key, timeout=patience, **how)


def left(block, *, is_undone=False):
    """Leave a block; return what it raised, by name."""
    try:
        block.__exit__(*((Undone, Undone(), None) if is_undone else (None, None, None)))
    except AdvisoryLockError as error:
        return type(error).__name__
    return None


def verified(held):
    try:
        held.verify()
    except AdvisoryLockError as error:
        return type(error).__name__
    return None


def begun():
    block = transaction.atomic()
    block.__enter__()
    return block


def new_connection():
    """Leave the old connection, and open another one; return its pid."""
    connections.close_all()
    return ask("SELECT pg_backend_pid()")


def end(pid):
    """End a session, and wait until it is gone."""
    assert ask("SELECT pg_terminate_backend(%s, 10000)", [pid])


def end_holders(actors):
    """End whoever still holds a lock a little later; return the actors whose connections that were."""
    deadline = time.monotonic() + SETTLED_WITHIN / 10
    while _rows() and time.monotonic() < deadline:
        pass
    holders = {pid for pid, *_ in _rows()}
    for pid in holders:
        end(pid)
    return [actor for actor in actors if actor.pid in holders]


def seen(actors):
    """Return what each session holds or waits for, as the model says it, and what is wrong with the markers."""
    locks, markers = defaultdict(set), defaultdict(set)
    for pid, mode, granted, classid, objid, objsubid in _rows():
        if objsubid == 1:
            number = classid << 32 | objid
            key = _IDS[number - 2**64 if number >= 2**63 else number]
            locks[pid].add((key, mode == "ShareLock", granted))
        else:
            markers[pid].add(((classid >> 31) == 1, classid >> 24 & 127, classid & 0xFFFFFF))
    of_work = {number: frozenset(locks.pop(actor.pid, ())) for number, actor in enumerate(actors)}
    wrong = _unmarked(of_work, locks, markers, actors)
    return of_work, Counter(map(frozenset, locks.values())), wrong


def _unmarked(of_work, of_sessions, markers, actors):
    """Return the sessions whose markers are not those of their locks."""
    due = {actor.pid: _slots(of_work[number], is_session=False) for number, actor in enumerate(actors)}
    due |= {pid: _slots(lines, is_session=True) for pid, lines in of_sessions.items()}
    return [(pid, due.get(pid, set()), markers[pid]) for pid in {*due, *markers} if due.get(pid, set()) != markers[pid]]


def _slots(lines, *, is_session):
    return {(is_session, int(key.namespace), key.id & 0xFFFFFF) for key, *_ in lines}


def _rows():
    with connection.cursor() as cursor:
        cursor.execute(_LOCKS)
        return cursor.fetchall()


def compare(model, actors):
    """Fail where PostgreSQL does not come to say what the model says."""
    expected = *model.expected(), []
    deadline = time.monotonic() + SETTLED_WITHIN
    while (found := seen(actors)) != expected:
        assert time.monotonic() < deadline, f"the server says\n{found}\nand not\n{expected}"
