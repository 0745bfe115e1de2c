"""Rows of pg_locks read as locks: which marker belongs to which lock, and what it says (``migrations/0001_locks.py``).

Pure: rows in, locks out.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

from locks.keys import LockKey

_LOW_BITS = 24
_LOW = 2**_LOW_BITS - 1
# Seven bits; the one above them says that the lock is its session's, not its transaction's.
_NAMESPACE = 127
# Times are hundredths of a second, modulo 2**32.
_TICKS = 2**32
_PER_SECOND = 100
_SHARED = "ShareLock"
_HALF = 2**63
# What stands in a guard's place of a time: it is a lock's too, for a moment or for a verified transaction.
_GUARDS = (2**32 - 1, 2**32 - 2)
# How pg_locks.objsubid tells the two kinds of advisory locks apart.
_ONE_NUMBER = 1

Tag = tuple[int, int, int]
"""What PostgreSQL locks: classid, objid, objsubid."""


class RawLock(NamedTuple):
    """A row of pg_locks: the numbers unsigned, as it shows them."""

    pid: int | None
    """None where a prepared transaction holds it."""
    mode: str
    granted: bool
    classid: int
    objid: int
    objsubid: int
    now: float
    """The server's clock, seconds since 1970."""
    waited: float | None
    """Seconds; None too in the first moments of a wait."""

    @property
    def tag(self) -> Tag:
        """What is locked."""
        return self.classid, self.objid, self.objsubid

    @property
    def is_one_number(self) -> bool:
        """Whether its key is one 64-bit number and not two of 32."""
        return self.objsubid == _ONE_NUMBER

    @property
    def id(self) -> int:
        """The key's 64-bit number."""
        return _signed(self.classid << 32 | self.objid, 64)


class SeenLock(NamedTuple):
    """An advisory lock that a session holds or waits for."""

    raw: RawLock
    namespace: int | None
    """None where it was not taken through us."""
    key: int | tuple[int, int]
    held_seconds: float | None
    """Since it was granted; None while it is not, or where nobody noted when."""
    wait_seconds: float | None
    is_marked: bool
    is_session: bool = False
    """Whether it is held to the end of its session, by its own marker."""


_Row = tuple[int | None, str, bool, int, int, int, float, float | None]
"""What a ``RawLock`` is made of. Most rows are markers and become none: ten thousand are read at a time."""
_Slot = int
"""A session and the lower bits of a lock's number, as one number: what ties a marker to its lock."""
_Marker = tuple[int, int]
"""How old it is, in hundredths of a second, and the bits above: the newest is the least."""


def read_locks(rows: Iterable[_Row]) -> list[SeenLock]:
    """Return the locks, without the markers. The rows are those of one moment."""
    rows = list(rows)
    slots = {(pid or 0) << _LOW_BITS | objid & _LOW for pid, _, _, _, objid, sub, _, _ in rows if sub == _ONE_NUMBER}
    ticks = round(rows[0][6] * _PER_SECOND) if rows else 0
    newest: dict[_Slot, _Marker] = {}
    locks = []
    for row in rows:
        pid, mode, granted, classid, objid, sub, _, _ = row
        if objid in _GUARDS and sub != _ONE_NUMBER and classid >> _LOW_BITS > _NAMESPACE:
            continue
        slot = (pid or 0) << _LOW_BITS | classid & _LOW
        if (
            sub == _ONE_NUMBER
            or slot not in slots
            or not (granted and mode == _SHARED and classid >> _LOW_BITS & _NAMESPACE)
        ):
            locks.append(RawLock._make(row))
            continue
        # Who had to wait has a marker for the wait and one for the grant: the newest is the one that counts.
        age = (ticks - objid) % _TICKS
        if slot not in newest or age < newest[slot][0]:
            newest[slot] = age, classid >> _LOW_BITS
    holders = _markers_of_holders(locks, newest)
    return [_seen(row, newest.get(_slot(row)), holders) for row in locks]


def _markers_of_holders(locks: list[RawLock], newest: Mapping[_Slot, _Marker]) -> dict[Tag, _Marker]:
    """Return the markers of those who hold what somebody waits for."""
    wanted = {row.tag for row in locks if not row.granted}
    if not wanted:
        return {}
    return {row.tag: newest[_slot(row)] for row in locks if row.granted and row.tag in wanted and _slot(row) in newest}


def _seen(row: RawLock, own: _Marker | None, holders: Mapping[Tag, _Marker]) -> SeenLock:
    if own is None:
        return _unmarked(row, holders)
    ticks, above = own
    # A clock that was set back would make it older than anything.
    age = ticks / _PER_SECOND if ticks < _TICKS // 2 else 0.0
    namespace = above & _NAMESPACE
    key = (((row.classid << 32 | row.objid) ^ _HALF) - _HALF) ^ _constant(namespace)
    if row.granted:
        return SeenLock(row, namespace, key, age, None, True, above > _NAMESPACE)
    return SeenLock(row, namespace, key, None, _waited(row, age), True, above > _NAMESPACE)


def _unmarked(row: RawLock, holders: Mapping[Tag, _Marker]) -> SeenLock:
    if not row.is_one_number:
        pair = _signed(row.classid, 32), _signed(row.objid, 32)
        return SeenLock(row, None, pair, None, None if row.granted else _waited(row, 0.0), False)
    if row.granted:
        return SeenLock(row, None, row.id, None, None, False)
    # A wait that did not come through us is for a lock of ours all the same, if the holder's is.
    holder = holders.get(row.tag)
    namespace = holder[1] & _NAMESPACE if holder else None
    key = row.id if namespace is None else row.id ^ _constant(namespace)
    return SeenLock(row, namespace, key, None, _waited(row, 0.0), False)


def _waited(row: RawLock, age: float) -> float:
    return age if row.waited is None else max(0.0, row.waited)


@cache
def _constant(namespace: int) -> int:
    """Return what turns an id of the namespace back into its key."""
    return LockKey(namespace, 0).id


def _slot(row: RawLock) -> _Slot:
    # A lock of two numbers has no marker and gets the slot that none has.
    return (row.pid or 0) << _LOW_BITS | row.objid & _LOW if row.objsubid == _ONE_NUMBER else -1


def _signed(number: int, bits: int) -> int:
    return number - 2**bits if number >= 2 ** (bits - 1) else number
