"""What happens elsewhere: a key that somebody else holds, a connection that the server ends."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from locks.advisory import advisory_lock
from locks.asks import Scope
from locks.keys import Named
from locks.testing.facts import WITHIN, watcher


class OnItsOwn(Protocol):
    """A lock that has a connection of its own (session scope)."""

    @property
    def using(self) -> str:
        """The database."""

    @property
    def raw(self) -> Any:
        """The driver's connection."""


@contextmanager
def held_elsewhere(
    namespace: int,
    key: Named,
    scope: Scope = "transaction",
    *,
    shared: bool = False,
    using: str = DEFAULT_DB_ALIAS,
) -> Iterator[None]:
    """Let somebody else, on a connection of their own, hold the key for as long as the block takes.

    It is taken as everybody takes it, so the monitor and the errors show this holder too. Raises what
    ``advisory_lock`` does; LockTimeout where it is not free.
    """

    def hold() -> None:
        with ExitStack() as stack:
            if scope == "transaction":
                stack.enter_context(transaction.atomic(using=using))
            lock = advisory_lock(namespace, key, timeout=0, scope=scope, shared=shared, using=using)
            stack.enter_context(lock)
            somebody.stay()

    somebody = _Somebody(hold)
    with somebody:
        yield


def lose_connection(lost: str | OnItsOwn = DEFAULT_DB_ALIAS) -> None:
    """Let the server end this thread's connection to a database, or that of a held lock of session scope.

    Returns when the session has ended there, locks and all; here it is noticed by using it. ValueError where there is
    no connection.
    """
    using = lost if isinstance(lost, str) else lost.using
    raw = connections[lost].connection if isinstance(lost, str) else lost.raw
    if raw is None or raw.closed:
        raise ValueError(f"there is no connection to lose: {lost}")
    with watcher(using) as eyes:
        eyes.end({raw.info.backend_pid})


class _Somebody(threading.Thread):
    """A thread, with connections and a context of its own, that stays in the middle of what it does for a while."""

    def __init__(self, act: Any) -> None:
        super().__init__(name="elsewhere", daemon=True)
        self._act = act
        self._moved, self._leave = threading.Event(), threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._act()
        except BaseException as error:
            self._error = error
        finally:
            connections.close_all()
            self._moved.set()

    def stay(self) -> None:
        self._moved.set()
        self._leave.wait()

    def __enter__(self) -> None:
        self.start()
        self._moved.wait(WITHIN)
        self._raise()

    def __exit__(self, *error: object) -> None:
        self._leave.set()
        self.join(WITHIN)
        # The block's own error says more.
        if not any(error):
            self._raise()

    def _raise(self) -> None:
        if self._error:
            raise self._error
