"""One session of a scene: a thread with connections of its own that stands still before each of its steps."""

import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any
from unittest import mock

from django.db import connections

WOKEN = "goes on after its wait"
"""The name of the stop behind a statement that had to wait for a lock."""

_acting: ContextVar["Actor | None"] = ContextVar("acting", default=None)


def step(name: str) -> None:
    """Stop here until it is this session's turn; nothing outside a scene."""
    actor = _acting.get()
    if actor:
        actor.stand(name)


class Abandoned(BaseException):
    """The run is given up: the session unwinds."""


class Actor(threading.Thread):
    """Runs ``act`` once. ``moved`` is notified when it comes to a stop or to its end.

    It stops before statements, commits and rollbacks that begin with one of ``stops``, and behind a statement that the
    server had let wait: else it would run on beside the one that woke it, and the run could not be repeated.
    """

    def __init__(self, name: str, act: Callable[[], Any], stops: Sequence[str], moved: threading.Condition) -> None:
        super().__init__(name=name, daemon=True)
        self.at: str | None = None
        """The step before which it stands; None while it is under way, and at the end."""
        self.is_done = False
        self.is_waiting = False
        """Whether the server lets it wait for a lock; said by who watches."""
        self.result: Any = None
        """What was returned, or raised."""
        self.has_raised = False
        self.backends: set[int] = set()
        """The backends of its connections, once it is done: they may take a moment longer to end."""
        self._act, self._stops, self._moved = act, tuple(stops), moved
        self._turn = threading.Event()
        self._is_abandoned = False

    def run(self) -> None:
        """Act, and close all connections."""
        _acting.set(self)
        try:
            with ExitStack() as stack:
                self._stop_at_statements(stack)
                self.result = self._act()
        except BaseException as error:
            self.result, self.has_raised = error, True
        finally:
            opened = [connection.connection for connection in connections.all(initialized_only=True)]
            self.backends = {raw.info.backend_pid for raw in opened if raw and not raw.closed}
            connections.close_all()
            with self._moved:
                self.is_done = True
                self._moved.notify_all()

    def stand(self, at: str) -> None:
        """Stop; called in the actor's own thread."""
        self.is_waiting = False
        with self._moved:
            if not self._is_abandoned:
                self._turn.clear()
                self.at = at
                self._moved.notify_all()
        self._turn.wait()
        if self._is_abandoned:
            raise Abandoned

    def go_on(self) -> None:
        """Let it take the step before which it stands."""
        with self._moved:
            self.at = None
        self._turn.set()

    def abandon(self) -> None:
        """Let it unwind from where it stands, or at its next stop."""
        with self._moved:
            self._is_abandoned = True
            self.at = None
        self._turn.set()

    @property
    def is_under_way(self) -> bool:
        """Whether it is between two stops, be it that it waits for a lock."""
        return self.at is None and not self.is_done

    def whereabouts(self) -> str:
        """Return where in the code its thread is, innermost call last."""
        frame = sys._current_frames().get(self.ident or 0)
        return "".join(traceback.format_stack(frame)[-3:]) if frame else "nowhere"

    def _stop_at_statements(self, stack: ExitStack) -> None:
        for connection in (connections[alias] for alias in connections):
            stack.enter_context(connection.execute_wrapper(self._statement))
            for verb in ("commit", "rollback"):
                ending = self._stopping_before(verb.upper(), getattr(connection, verb))
                stack.enter_context(mock.patch.object(connection, verb, ending))

    def _stopping_before(self, verb: str, end: Callable[[], None]) -> Callable[[], None]:
        def ending() -> None:
            self._stop_before(verb)
            end()

        return ending

    def _statement(self, execute: Callable[..., Any], sql: Any, *context: Any) -> Any:
        # It may have waited on a connection that is none of Django's.
        self._stop_where_woken()
        self._stop_before(str(sql).lstrip())
        try:
            return execute(sql, *context)
        finally:
            self._stop_where_woken()

    def _stop_where_woken(self) -> None:
        if self.is_waiting:
            self.stand(WOKEN)

    def _stop_before(self, sql: str) -> None:
        begins = next((begins for begins in self._stops if sql.startswith(begins)), None)
        if begins is not None:
            self.stand(begins)
