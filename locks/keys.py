"""The names of locks: a namespace and a key, and the one 64-bit number that PostgreSQL sees."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cache, total_ordering
from hashlib import blake2b
from typing import Self

_BITS = 64
_HALF = 2 ** (_BITS - 1)
_WHOLE = 2**_BITS
# The marker lock keeps a namespace in seven bits.
_NAMESPACES = range(1, 128)


class LockNamespace(IntEnum):
    """What a key numbers. Who needs several locks takes those of the higher namespace first."""

    AGENT = 1
    # The name of a session that has no row yet.
    SESSION = 2
    CYCLE = 3


def lock_key_from_string(text: str) -> int:
    """Return a signed 64-bit key for a text: the same on every host, in every version."""
    return _hashed(text.encode("utf-8", "surrogatepass"))


@total_ordering
@dataclass(frozen=True, slots=True, init=False)
class LockKey:
    """One lock's name; sorted, keys stand in the order in which several are to be taken: the higher namespace first."""

    namespace: int
    key: int

    def __init__(self, namespace: int, key: int | str) -> None:
        """Accept a namespace of 1 to 127 and a signed 64-bit number or a text.

        TypeError for any other type (a truth value is no number), ValueError for a number that does not fit.
        """
        object.__setattr__(self, "namespace", _whole("namespace", namespace, _NAMESPACES))
        number = lock_key_from_string(key) if isinstance(key, str) else _whole("key", key, range(-_HALF, _HALF))
        object.__setattr__(self, "key", number)

    @classmethod
    def from_id(cls, namespace: int, lock_id: int) -> Self:
        """Return the key that has this id in this namespace."""
        return cls(namespace, _mixed(namespace, lock_id))

    @property
    def id(self) -> int:
        """Return the signed 64-bit number of the advisory lock.

        The key is mixed (exclusive or) with a constant of its namespace: small keys of different namespaces never
        meet, and the number can be turned back.
        """
        return _mixed(self.namespace, self.key)

    def __lt__(self, other: "LockKey") -> bool:
        return (-self.namespace, self.key) < (-other.namespace, other.key)

    def __str__(self) -> str:
        return f"{namespace_name(self.namespace)} {self.key}"


def namespace_name(namespace: int) -> str:
    """Return the namespace's name, or its number where it is not one of ours."""
    known = LockNamespace._value2member_map_.get(namespace)
    return str(namespace) if known is None else known.name


def _whole(word: str, number: object, allowed: range) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"a lock's {word} is a whole number, not {type(number).__name__}")
    if int(number) not in allowed:
        raise ValueError(f"a lock's {word} lies from {allowed[0]} to {allowed[-1]}: {int(number)} does not")
    return int(number)


def _mixed(namespace: int, number: int) -> int:
    return number ^ _constant(namespace)


@cache
def _constant(namespace: int) -> int:
    return _hashed(b"lock namespace %d" % namespace)


def _hashed(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=_BITS // 8).digest(), "big", signed=True)
