"""Where two meet: actors with connections of their own, a third one in the way, and facts that are waited for."""

import threading
import time
from contextlib import contextmanager, suppress

import psycopg
from django.db import connection, connections

WITHIN = 30.0
"""Seconds after which what should have happened counts as never happening."""

_LOOK_EVERY = 0.005


_on_stage = []


def clear_the_stage():
    """Let everybody finish whom a test that failed has left standing."""
    for one in sorted(_on_stage, key=lambda one: isinstance(one, Actor)):
        one.leave()
    _on_stage.clear()
    close_watcher()


def wait_until(fact, within=WITHIN):
    """Return what `fact()` says as soon as it is truthy."""
    give_up_at = time.monotonic() + within
    while not (found := fact()):
        assert time.monotonic() < give_up_at, f"not within {within} s: {fact}"
        time.sleep(_LOOK_EVERY)
    return found


class Actor(threading.Thread):
    """Somebody who does one thing at once, in a thread and on connections of his own."""

    def __init__(self, act, *args, **kwargs):
        super().__init__(daemon=True)
        self._act, self._args, self._kwargs = act, args, kwargs
        self._answer = self._error = None
        _on_stage.append(self)
        self.start()

    def run(self):
        try:
            self._answer = self._act(*self._args, **self._kwargs)
        except BaseException as error:
            self._error = error
        finally:
            connections.close_all()

    @property
    def is_done(self):
        return not self.is_alive()

    def leave(self):
        self.join(WITHIN)

    def answer(self, within=WITHIN):
        """Return what came of it; raises what it raised."""
        self.join(within)
        assert self.is_done, "still under way"
        if self._error:
            raise self._error
        return self._answer


def answers(actors):
    return [actor.answer() for actor in actors]


def another_connection(**settings):
    """Return a new connection to the tests' database that commits each statement."""
    params = connections["default"].get_connection_params() | settings
    return psycopg.connect(**params, autocommit=True)


class Third:
    """Somebody else's transaction: what it does stands in the way of the actors until it ends."""

    def __init__(self):
        self._connection = another_connection()
        self._connection.execute("BEGIN")
        self.pid = self._connection.info.backend_pid

    def lock(self, key):
        """Take an advisory lock as every writer does."""
        self.do("SELECT locks_take(%s::bigint, %s, 0, 'the third')", [str(key.id), int(key.namespace)])
        return self

    def hold_row(self, table, pk):
        """Keep a row from being written; who only looks at it, or refers to it, goes on."""
        self.do(f"SELECT FROM {table} WHERE id = %s FOR NO KEY UPDATE", [pk])
        return self

    def do(self, sql, params=()):
        self._connection.execute(sql, params)

    def wait_for_waiting(self, count, within=WITHIN):
        """Go on as soon as PostgreSQL itself says that so many sessions wait for a lock, whosever it is."""
        wait_until(lambda: len(waiting()) >= count, within)
        assert len(waiting()) == count, "more of them wait than should"

    def step_aside(self):
        """Commit."""
        self._connection.execute("COMMIT")

    def close(self):
        """Leave the way free at once: the server may take a while to notice that a connection was closed."""
        with suppress(psycopg.OperationalError):
            self._connection.execute("ROLLBACK")
        self._connection.close()


@contextmanager
def third():
    made = Third()
    try:
        yield made
    finally:
        made.close()


def meet(agent_id, first, second):
    """Let both decide on the same rows of an agent, then both write.

    The first one stands in the middle of its record, because a third one keeps the agent's row; then the second comes.
    """
    with third() as busy:
        busy.hold_row("agents_agent", agent_id)
        one = Actor(first)
        busy.wait_for_waiting(1)
        other = Actor(second)
        busy.wait_for_waiting(2)
        busy.step_aside()
        return answers([one, other])


def asked(sql, *params):
    """Return what the database says to anybody who asks now, on a connection that was never in the scenario."""
    with another_connection() as watcher:
        return watcher.execute(sql, params).fetchall()


_watcher = threading.local()


def waiting():
    """Return the backends of this database that wait for a lock, by what kind of lock they wait for."""
    if getattr(_watcher, "connection", None) is None or _watcher.connection.closed:
        _watcher.connection = another_connection()
    rows = _watcher.connection.execute(
        "SELECT DISTINCT l.pid, l.locktype FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE NOT l.granted AND a.datname = current_database()"
    ).fetchall()
    return dict(rows)


def close_watcher():
    if getattr(_watcher, "connection", None):
        _watcher.connection.close()
        _watcher.connection = None


def backends():
    """Return the pids of all sessions of this database but the one that asks."""
    found = asked("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    return {pid for (pid,) in found}


class Point:
    """A place in an actor's way: just before the statement that begins so, when it comes by for the nth time."""

    def __init__(self, begins, nth=1):
        self.begins = begins
        self._left = nth
        self._reached, self._go_on = threading.Event(), threading.Event()
        _on_stage.append(self)

    def __call__(self, execute, sql, params, many, context):
        self._left -= sql.startswith(self.begins)
        if self._left == 0 and not self._reached.is_set():
            self._reached.set()
            assert self._go_on.wait(WITHIN), f"nobody let it go on before {self.begins}"
        return execute(sql, params, many, context)

    @property
    def is_reached(self):
        return self._reached.is_set()

    def wait(self):
        """Go on as soon as the actor stands there."""
        assert self._reached.wait(WITHIN), f"nobody came to {self.begins}"

    def release(self):
        self._go_on.set()

    leave = release


def gather(begins, acts):
    """Let all come to the same statement, or wait for a lock on the way there, before the first of them goes on."""
    points = [Point(begins) for _ in acts]
    actors = [Actor(passing(point, act)) for point, act in zip(points, acts, strict=True)]
    wait_until(lambda: sum(point.is_reached for point in points) + len(waiting()) >= len(acts))
    for point in points:
        point.release()
    return answers(actors)


def passing(point, act):
    """Return the act with the point in its way."""

    def acted(*args, **kwargs):
        with connection.execute_wrapper(point):
            return act(*args, **kwargs)

    return acted
