"""The way in: ``advisory_lock`` and its siblings, as ``with``, ``async with`` or decorator.

What a section is depends on its scope: ``transactional`` (the lock goes with the transaction that works) or ``fenced``
(the lock has a connection of its own, and the work verifies it before it commits).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar, cast, overload

from django.db import DEFAULT_DB_ALIAS

from locks.asks import SCOPES, Ask, Scope, in_order
from locks.decoration import decorated
from locks.doors import Door
from locks.errors import Busy, LockReentered
from locks.fenced import FencedLock
from locks.keys import LockKey, Named
from locks.notes import note_refusal
from locks.patience import Timeout, milliseconds
from locks.servers import session_scope_on
from locks.skips import Starving, streaks
from locks.transactional import HeldLock

PATIENCE = timedelta(seconds=15)
Key = Named | Callable[..., Named]
"""A key, or for a decorator a function that finds it in the arguments of a call."""
Keys = Iterable[LockKey | tuple[int, Named]]
H = TypeVar("H", bound=HeldLock)
F = TypeVar("F", bound=Callable[..., Any])


@overload
def advisory_lock(
    namespace: int,
    key: Key,
    timeout: Timeout = PATIENCE,
    scope: Literal["transaction"] = "transaction",
    using: str = DEFAULT_DB_ALIAS,
    shared: bool = False,
) -> "Section[HeldLock]": ...


@overload
def advisory_lock(
    namespace: int,
    key: Key,
    timeout: Timeout = PATIENCE,
    *,
    scope: Literal["session"],
    using: str = DEFAULT_DB_ALIAS,
    shared: bool = False,
) -> "Section[FencedLock]": ...


def advisory_lock(
    namespace: int,
    key: Key,
    timeout: Timeout = PATIENCE,
    scope: Scope = "transaction",
    using: str = DEFAULT_DB_ALIAS,
    shared: bool = False,
) -> "Section[Any]":
    """Enter the key's section, waiting for at most ``timeout`` (seconds or a timedelta; 0 never waits).

    Also ``async with``, and a decorator of functions and coroutine functions, for which ``key`` may be a function of
    the call's arguments. ``shared`` lets others in who ask shared.

    Raises LockTimeout, LockDeadlock, LockReentered, LockOrder, LockUpgrade, LockKeyCollision, LockTableFull, OnStandby,
    LockLost; in transaction scope NotInTransaction and StaleSnapshot, in session scope InsideTransaction and
    PooledSession; TypeError and ValueError for a namespace, key, timeout or scope that cannot be. One statement.
    """
    _accept(scope, using)
    rest = milliseconds(timeout), scope, shared, using
    if not callable(key):
        return Section(_always(Ask((LockKey(namespace, key),), *rest)))
    return Section(lambda *args, **kwargs: Ask((LockKey(namespace, key(*args, **kwargs)),), *rest), is_fixed=False)


def advisory_lock_or_skip(
    namespace: int,
    key: Named,
    scope: Scope = "transaction",
    using: str = DEFAULT_DB_ALIAS,
    shared: bool = False,
    starving: Starving | None = None,
) -> "SectionOrSkip":
    """Enter the key's section if nobody holds the key, else skip: the block runs either way and is told.

    Never waits, but where ``starving`` says after how many skips in a row it does. An open section of this connection
    counts as busy too. Raises as ``advisory_lock`` does, without LockTimeout and LockReentered.
    """
    _accept(scope, using)
    keys = (LockKey(namespace, key),)
    return SectionOrSkip(Ask(keys, 0, scope, shared, using, is_skipping=True), starving)


@overload
def advisory_locks(
    keys: Keys,
    timeout: Timeout = PATIENCE,
    scope: Literal["transaction"] = "transaction",
    using: str = DEFAULT_DB_ALIAS,
    shared: bool = False,
) -> "Section[HeldLock]": ...


@overload
def advisory_locks(
    keys: Keys,
    timeout: Timeout = PATIENCE,
    *,
    scope: Literal["session"],
    using: str = DEFAULT_DB_ALIAS,
    shared: bool = False,
) -> "Section[FencedLock]": ...


def advisory_locks(
    keys: Keys,
    timeout: Timeout = PATIENCE,
    scope: Scope = "transaction",
    using: str = DEFAULT_DB_ALIAS,
    shared: bool = False,
) -> "Section[Any]":
    """Enter the sections of all keys or of none, within one timeout for them together; given twice is given once.

    They are taken in the declared order: who takes several this way never waits in a circle. Raises as
    ``advisory_lock`` does. One statement.
    """
    patience_ms = milliseconds(timeout)
    _accept(scope, using)
    return Section(_always(Ask(in_order(_keys(keys)), patience_ms, scope, shared, using)))


def advisory_locks_or_skip(
    keys: Keys, scope: Scope = "transaction", using: str = DEFAULT_DB_ALIAS, shared: bool = False
) -> "SectionOrSkip":
    """Enter the sections of all keys if nobody holds any of them, else skip all. Never waits."""
    _accept(scope, using)
    return SectionOrSkip(Ask(in_order(_keys(keys)), 0, scope, shared, using, is_skipping=True), None)


class Section(Generic[H]):
    """A section to be entered: once at a time by ``with``; a decorator enters one of its own for every call."""

    def __init__(self, ask: Callable[..., Ask], *, is_fixed: bool = True) -> None:
        self._ask = ask
        self._is_fixed = is_fixed
        self._door = Door()

    def __call__(self, function: F) -> F:
        """Return the function inside of the section; refuses a function that goes on after it has returned."""
        return decorated(function, lambda *args, **kwargs: Section(lambda: self._ask(*args, **kwargs)))

    def __enter__(self) -> H:
        self._door.claim()
        try:
            return cast(H, self._door.enter(self._now()))
        except BaseException:
            self._door.leave()
            raise

    def __exit__(self, *error: object) -> None:
        self._door.leave(*error)

    async def __aenter__(self) -> H:
        self._door.claim()
        try:
            return cast(H, await self._door.aenter(self._now()))
        except BaseException:
            self._door.leave()
            raise

    async def __aexit__(self, *error: object) -> None:
        await self._door.aleave(*error)

    def _now(self) -> Ask:
        if not self._is_fixed:
            raise TypeError("a key that is a function needs the arguments of a call: it is for decorators")
        return self._ask()


class SectionOrSkip:
    """The same, answering whether it was entered. What the block raises is the block's: nothing here surrounds it."""

    def __init__(self, ask: Ask, starving: Starving | None) -> None:
        self._ask = ask
        self._starving = starving
        self._door = Door()

    def __enter__(self) -> bool:
        self._door.claim()
        try:
            self._door.enter(self._patient_ask())
        except (Busy, LockReentered) as refusal:
            # Skipped, the block has its turn at the door all the same.
            return self._skipped(refusal)
        except BaseException:
            self._door.leave()
            raise
        return self._entered()

    def __exit__(self, *error: object) -> None:
        self._door.leave(*error)

    async def __aenter__(self) -> bool:
        self._door.claim()
        try:
            await self._door.aenter(self._patient_ask())
        except (Busy, LockReentered) as refusal:
            return self._skipped(refusal)
        except BaseException:
            self._door.leave()
            raise
        return self._entered()

    async def __aexit__(self, *error: object) -> None:
        await self._door.aleave(*error)

    def _patient_ask(self) -> Ask:
        if self._starving and streaks.length(self._ask) >= self._starving.after:
            return replace(self._ask, patience_ms=milliseconds(self._starving.waits))
        return self._ask

    def _skipped(self, refusal: Exception) -> bool:
        if isinstance(refusal, LockReentered):
            note_refusal(self._ask.keys[0], 0.0, (), self._ask.using, is_skip=True)
        if self._starving:
            streaks.add(self._ask)
        return False

    def _entered(self) -> bool:
        streaks.end(self._ask)
        return True


def _always(ask: Ask) -> Callable[..., Ask]:
    return lambda *_args, **_kwargs: ask


def _keys(keys: Keys) -> list[LockKey]:
    """Return them as keys. TypeError for one that is neither a key nor a pair."""
    found = []
    for key in keys:
        if isinstance(key, LockKey):
            found.append(key)
        elif isinstance(key, tuple | list) and len(key) == 2:
            found.append(LockKey(*key))
        else:
            raise TypeError(f"each of several keys is a LockKey or a pair (namespace, key), not {key!r}")
    return found


def _accept(scope: str, using: str) -> None:
    """Refuse a scope that is none; tell the checks of a database that needs sessions of our own."""
    if scope not in SCOPES:
        raise ValueError(f"a lock's scope is one of {', '.join(map(repr, SCOPES))}, not {scope!r}")
    if scope == "session":
        session_scope_on.add(using)
