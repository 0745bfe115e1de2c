"""How often asking for a lock went badly and how long locks were waited for and held, over all processes.

Noting it must cost the asker nothing and must survive its rollback, so a process adds up in memory and a thread, which
lives only while there is something to write, brings the sums into the tables on a short connection of its own,
``WRITTEN_EVERY``. So other processes see them that much later, and a process that is killed takes at most so much
with it; one that ends normally writes them first. Where the database can not be reached the sums stay and are brought
later; of single incidents only the newest.
"""

import atexit
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

from locks import incidents, timings
from locks.incidents import KINDS, Backlog, Incident, Kind
from locks.timings import Timings, What

__all__ = ["KINDS", "Kind", "Tally", "tally"]

WRITTEN_EVERY = timedelta(seconds=5)
# A day is kept: an hour is shown. One message is one transaction: behind a pooler, nothing of it stays on the session.
# The tables come in the order of their names, as for whoever empties them all: so none waits for one who waits for it.
_BEGIN = "SET LOCAL statement_timeout = '2s';"
_MINUTE = """
    INSERT INTO locks_minute AS known (
        minute, timeouts, skips, waits_over_1s, lost, untold, waited_seconds, longest_wait
    )
    VALUES (date_trunc('minute', now()), %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (minute) DO UPDATE SET
        timeouts = known.timeouts + excluded.timeouts,
        skips = known.skips + excluded.skips,
        waits_over_1s = known.waits_over_1s + excluded.waits_over_1s,
        lost = known.lost + excluded.lost,
        untold = known.untold + excluded.untold,
        waited_seconds = known.waited_seconds + excluded.waited_seconds,
        longest_wait = greatest(known.longest_wait, excluded.longest_wait);
    DELETE FROM locks_minute WHERE minute < now() - interval '1 day';
"""
# Of keys that nobody has used for a month neither the token nor the name is kept. A holder of that long finds its token
# gone when it verifies: it has to take the lock anew.
_FENCES = """
    DELETE FROM locks_fence WHERE lock_id IN (
        SELECT lock_id FROM locks_fence WHERE taken_at < now() - interval '30 days' LIMIT 1000 FOR UPDATE SKIP LOCKED
    );
"""
_NAMES = """
    DELETE FROM locks_name WHERE lock_id IN (
        SELECT lock_id FROM locks_name WHERE seen_on < current_date - 30 LIMIT 1000 FOR UPDATE SKIP LOCKED
    );
"""

log = logging.getLogger(__name__)
# A database alias and the name of the database that it led to when the count was made: a test's counts must not reach
# the database that the alias leads to after the test.
_Place = tuple[str, str]


class _Pending:
    """What is not yet in the tables of one database."""

    def __init__(self) -> None:
        self.counts: Counter[Kind] = Counter()
        self.timings = Timings()
        self.backlog = Backlog()

    def update(self, later: "_Pending") -> None:
        self.counts.update(later.counts)
        self.timings.update(later.timings)
        self.backlog.update(later.backlog)


class Tally:
    """What one process has noted and not yet written."""

    _pending: dict[_Place, _Pending]
    _writer: threading.Thread | None

    def __init__(self, every: timedelta) -> None:
        """Bring what is noted into the tables after ``every``."""
        self._every = every
        self._forget()

    def add(self, kind: Kind, using: str = DEFAULT_DB_ALIAS) -> None:
        """Count one; never waits for the database."""
        with self._mutex:
            self._at(using).counts[kind] += 1

    def time(self, namespace: int, what: What, seconds: float, using: str = DEFAULT_DB_ALIAS) -> None:
        """Note how long a lock was waited for or held; never waits for the database."""
        with self._mutex:
            self._at(using).timings.add(namespace, what, seconds)

    def tell(self, incident: Incident, using: str = DEFAULT_DB_ALIAS) -> None:
        """Keep what happened now, for people to read; ``add`` counts it. Never waits for the database."""
        with self._mutex:
            pending = self._at(using)
            pending.backlog.add(incident)
            if incident.kind == "timeouts":
                pending.timings.give_up(incident.seconds)

    def _at(self, using: str) -> _Pending:
        """Return what is pending for a database, and see that it will be written. Called with the mutex."""
        if self._writer is None:
            self._writer = self._started()
        place = _place(using)
        pending = self._pending.get(place)
        if pending is None:
            pending = self._pending[place] = _Pending()
        return pending

    def _started(self) -> threading.Thread | None:
        """Return a writer that runs, or nothing where the system has no thread left: the next count tries again."""
        writer = threading.Thread(target=self._write_while_pending, name="lock counts", daemon=True)
        try:
            writer.start()
        except RuntimeError:
            return None
        return writer

    @contextmanager
    def unwritten(self, using: str = DEFAULT_DB_ALIAS) -> Iterator[Counter[Kind]]:
        """Yield what this process has counted and not yet written; nothing is written meanwhile: none counts twice."""
        with self._writing:
            with self._mutex:
                pending = self._pending.get(_place(using))
                counts = Counter(pending.counts) if pending else Counter()
            yield counts

    def write(self) -> None:
        """Bring everything into the table now; what can not be written stays."""
        with self._writing:
            with self._mutex:
                taken, self._pending = self._pending, {}
            for place, pending in taken.items():
                self._write_or_keep(place, pending)

    def _write_or_keep(self, place: _Place, pending: _Pending) -> None:
        using, name = place
        if _place(using) != place:
            return
        try:
            _write(using, pending)
        # Whatever it is: no count is worth a crash of the process that counted.
        except Exception as error:
            log.warning("counts of locks in %s stay in memory: %s", name, error)
            with self._mutex:
                pending.update(self._pending.get(place, _Pending()))
                self._pending[place] = pending

    def _write_while_pending(self) -> None:
        while True:
            self._hurry.wait(self._every.total_seconds())
            self.write()
            with self._mutex:
                if not self._pending or self._hurry.is_set():
                    self._writer = None
                    return

    def finish(self) -> None:
        """Write what there is and wait for the thread to end: the process goes."""
        with self._mutex:
            writer = self._writer
        self._hurry.set()
        if writer:
            writer.join(self._every.total_seconds())
        self._hurry.clear()

    def _forget(self) -> None:
        """Start anew; so does a forked child, whose parent writes its own counts and keeps its own thread."""
        # Entered again where the garbage collector comes in between, and ends a section that somebody dropped.
        self._mutex = threading.RLock()
        self._writing = threading.Lock()
        self._hurry = threading.Event()
        self._pending = {}
        self._writer = None


tally = Tally(WRITTEN_EVERY)
atexit.register(tally.finish)
os.register_at_fork(after_in_child=tally._forget)


def _place(using: str) -> _Place:
    return using, str(connections.settings[using]["NAME"])


def _write(using: str, pending: _Pending) -> None:
    with closing(connections.create_connection(using)) as connection:
        connection.ensure_connection()
        # Several statements in one message: only where the parameters are put in here, whatever the project chose.
        with psycopg.ClientCursor(connection.connection) as cursor:
            cursor.execute(*_message(pending))


def _message(pending: _Pending) -> tuple[str, list[str | float]]:
    """Return the statements with their parameters."""
    told, *kept = pending.backlog.parameters()
    timed = pending.timings
    counts = [pending.counts[kind] for kind in KINDS]
    minute = [*counts, pending.backlog.untold, timed.waited_seconds(), timed.longest_wait]
    statements = _BEGIN + _FENCES + incidents.WRITE + _MINUTE + _NAMES + timings.WRITE
    return statements, [json.dumps(told), *kept, *minute, json.dumps(timed.rows())]
