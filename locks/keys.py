"""The names of locks: a namespace and a key, and the one 64-bit number that PostgreSQL sees."""

from collections import defaultdict
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache, total_ordering
from hashlib import blake2b
from typing import Self

from django.db.models import Model

_BITS = 64
_HALF = 2 ** (_BITS - 1)
Named = int | str | Model
"""What names a lock within its namespace."""

# The marker lock keeps a namespace in seven bits.
_NAMESPACES = range(1, 128)
_LONGEST_NAME = 400


# Number → the names under which it was registered: more than one is a clash.
_registered: dict[int, set[str]] = defaultdict(set)


def register_namespaces(namespaces: type[IntEnum]) -> type[IntEnum]:
    """Make an enumeration's namespaces known by name; usable as a class decorator.

    A number that two enumerations use for two things is found by the system checks (``namespace_clashes``): their
    keys would be each other's.
    """
    for namespace in namespaces:
        _registered[int(namespace)].add(namespace.name)
    return namespaces


def namespace_clashes() -> list[str]:
    """Return what is wrong with the registered namespaces, one sentence each."""
    doubled = [
        f"{number} is {' and '.join(sorted(names))}" for number, names in sorted(_registered.items()) if len(names) > 1
    ]
    outside = [
        f"{number} ({', '.join(names)}) does not lie from {_NAMESPACES[0]} to {_NAMESPACES[-1]}"
        for number, names in sorted(_registered.items())
        if number not in _NAMESPACES
    ]
    return doubled + outside


class LockNamespace(IntEnum):
    """What a key numbers. Who needs several locks takes those of the higher namespace first."""

    AGENT = 1
    # The name of a session that has no row yet.
    SESSION = 2
    CYCLE = 3
    # Outermost: whoever migrates may take any other lock.
    MIGRATION = 127


register_namespaces(LockNamespace)


def lock_key_from_string(text: str) -> int:
    """Return a signed 64-bit key for a text: the same on every host, in every version."""
    return _hashed(text.encode("utf-8", "surrogatepass"))


@total_ordering
@dataclass(frozen=True, slots=True, init=False)
class LockKey:
    """One lock's name; sorted, keys stand in the order in which several are to be taken: the higher namespace first."""

    namespace: int
    key: int
    id: int = field(compare=False)
    """The signed 64-bit number of the advisory lock.

    The key is mixed (exclusive or) with a constant of its namespace: small keys of different namespaces never meet, and
    the number can be turned back.
    """
    name: str | None = field(default=None, compare=False)
    """The text that the key was made of; None for a number, which can be turned back by itself."""

    def __init__(self, namespace: int, key: Named) -> None:
        """Accept a namespace of 1 to 127 and a signed 64-bit number, a text, or a row (for its primary key).

        TypeError for any other type (a truth value is no number), ValueError for a number that does not fit and for a
        row that was never saved.
        """
        plain = _primary_key(key) if isinstance(key, Model) else key
        name = plain if isinstance(plain, str) else None
        number = _whole("key", plain, range(-_HALF, _HALF)) if name is None else lock_key_from_string(name)
        object.__setattr__(self, "namespace", _whole("namespace", namespace, _NAMESPACES))
        object.__setattr__(self, "key", number)
        object.__setattr__(self, "id", _mixed(self.namespace, number))
        object.__setattr__(self, "name", name)

    @classmethod
    def from_id(cls, namespace: int, lock_id: int) -> Self:
        """Return the key that has this id in this namespace."""
        return cls(namespace, _mixed(namespace, lock_id))

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands among others: what keys are sorted by."""
        return -self.namespace, self.key

    @property
    def stored_name(self) -> str | None:
        """Return the name as the database keeps it: printable, and a long one by its beginning and its hash."""
        if self.name is None:
            return None
        name = self.name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        if len(name) <= _LONGEST_NAME:
            return name
        return f"{name[:_LONGEST_NAME]}… {blake2b(name.encode(), digest_size=16).hexdigest()}"

    def __hash__(self) -> int:
        return hash(self.id)

    def __lt__(self, other: "LockKey") -> bool:
        return self.place < other.place

    def __str__(self) -> str:
        return f"{namespace_name(self.namespace)} {self.key if self.name is None else repr(self.name)}"


def namespace_name(namespace: int) -> str:
    """Return the namespace's name, or its number where it is not one of ours."""
    return "/".join(sorted(_registered.get(namespace, ()))) or str(namespace)


def _primary_key(row: Model) -> int | str:
    """Return a row's primary key as a number or, where it is none (a UUID), as a text."""
    if row.pk is None:
        raise ValueError(f"this {row._meta.label} was never saved: it has no primary key to lock")
    value = row._meta.pk.get_prep_value(row.pk)
    return value if isinstance(value, int) else str(value)


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
