"""Rows of pg_locks read as locks: which marker belongs to which lock, and what it says (``migrations/0001_locks.py``).

Pure: rows in, locks out.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from locks.keys import LockKey

_LOW_BITS = 24
_LOW = 2**_LOW_BITS - 1
_NAMESPACES = range(1, 128)
# The bit above the namespace: the lock is its session's, not its transaction's.
_SESSION_BIT = 7
# Times are hundredths of a second, modulo 2**32.
_TICKS = 2**32
_PER_SECOND = 100
# How pg_locks.objsubid tells the two kinds of advisory locks apart.
_ONE_NUMBER = 1

Tag = tuple[int, int, int]
"""What PostgreSQL locks: classid, objid, objsubid."""


@dataclass(frozen=True, slots=True)
class RawLock:
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


@dataclass(frozen=True, slots=True)
class SeenLock:
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


@dataclass(frozen=True, slots=True)
class _Marker:
    namespace: int
    is_session: bool
    age: float

    @classmethod
    def read(cls, row: RawLock) -> "_Marker":
        above = row.classid >> _LOW_BITS
        return cls(above % (1 << _SESSION_BIT), bool(above >> _SESSION_BIT), _age(row))


_Slot = tuple[int | None, int]
"""A session and the lower bits of a lock's number: what ties a marker to its lock."""


def read_locks(rows: Iterable[RawLock]) -> list[SeenLock]:
    """Return the locks, without the markers."""
    rows = list(rows)
    slots = {_slot(row) for row in rows if row.is_one_number}
    markers: dict[_Slot, list[_Marker]] = defaultdict(list)
    locks = []
    for row in rows:
        if _is_marker(row, slots):
            markers[row.pid, row.classid & _LOW].append(_Marker.read(row))
        else:
            locks.append(row)
    # Who had to wait has a marker for the wait and one for the grant: the newest is the one that counts.
    newest = {slot: min(found, key=lambda marker: marker.age) for slot, found in markers.items()}
    holders = {row.tag: newest[_slot(row)] for row in locks if row.granted and _slot(row) in newest}
    return [_seen(row, newest.get(_slot(row)), holders.get(row.tag)) for row in locks]


def _seen(row: RawLock, own: _Marker | None, holder: _Marker | None) -> SeenLock:
    # A wait that did not come through us is for a lock of ours all the same, if the holder's is.
    marker = own or (None if row.granted else holder)
    namespace = marker.namespace if marker else None
    held = own.age if own and row.granted else None
    return SeenLock(
        row,
        namespace,
        _key(row, namespace),
        held,
        None if row.granted else _waited(row, own),
        own is not None,
        bool(own and own.is_session),
    )


def _waited(row: RawLock, own: _Marker | None) -> float:
    if row.waited is not None:
        return max(0.0, row.waited)
    return own.age if own else 0.0


def _key(row: RawLock, namespace: int | None) -> int | tuple[int, int]:
    if not row.is_one_number:
        return _signed(row.classid, 32), _signed(row.objid, 32)
    return row.id if namespace is None else LockKey.from_id(namespace, row.id).key


def _is_marker(row: RawLock, slots: set[_Slot]) -> bool:
    return (
        not row.is_one_number
        and row.granted
        and row.mode == "ShareLock"
        and (row.classid >> _LOW_BITS) % (1 << _SESSION_BIT) in _NAMESPACES
        and (row.pid, row.classid & _LOW) in slots
    )


def _slot(row: RawLock) -> _Slot:
    # A lock of two numbers has no marker and gets the slot that none has.
    return row.pid, row.objid & _LOW if row.is_one_number else -1


def _age(row: RawLock) -> float:
    """Return seconds; 0 where the server's clock was set back since."""
    ticks = (round(row.now * _PER_SECOND) - row.objid) % _TICKS
    return 0.0 if ticks >= _TICKS // 2 else ticks / _PER_SECOND


def _signed(number: int, bits: int) -> int:
    return number - 2**bits if number >= 2 ** (bits - 1) else number
