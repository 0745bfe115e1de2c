"""How often asking for a lock went badly, counted over all processes, by the minute.

Counting must cost the asker nothing and must survive its rollback, so a process adds up in memory and a thread, which
lives only while there is something to write, brings the sums into the table on a short connection of its own,
``WRITTEN_EVERY``. So other processes see them that much later, and a process that is killed takes at most so much
with it; one that ends normally writes them first. Where the database can not be reached the sums stay and are brought
later.
"""

import atexit
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Literal

from django.db import DEFAULT_DB_ALIAS, connections

Kind = Literal["timeouts", "skips", "waits_over_1s", "lost"]
KINDS: tuple[Kind, ...] = ("timeouts", "skips", "waits_over_1s", "lost")
WRITTEN_EVERY = timedelta(seconds=5)
# A day is kept: an hour is shown. One message is one transaction: behind a pooler, nothing of it stays on the session.
_WRITE = """
    SET LOCAL statement_timeout = '2s';
    INSERT INTO locks_minute AS known (minute, timeouts, skips, waits_over_1s, lost)
    VALUES (date_trunc('minute', now()), %s, %s, %s, %s)
    ON CONFLICT (minute) DO UPDATE SET
        timeouts = known.timeouts + excluded.timeouts,
        skips = known.skips + excluded.skips,
        waits_over_1s = known.waits_over_1s + excluded.waits_over_1s,
        lost = known.lost + excluded.lost;
    DELETE FROM locks_minute WHERE minute < now() - interval '1 day'
"""

log = logging.getLogger(__name__)
# A database alias and the name of the database that it led to when the count was made: a test's counts must not reach
# the database that the alias leads to after the test.
_Place = tuple[str, str]


class Tally:
    """One process's counts that are not yet in the table."""

    _pending: dict[_Place, Counter[Kind]]
    _writer: threading.Thread | None

    def __init__(self, every: timedelta) -> None:
        """Bring what is counted into the table after ``every``."""
        self._every = every
        self._forget()

    def add(self, kind: Kind, using: str = DEFAULT_DB_ALIAS) -> None:
        """Count one; never waits for the database."""
        with self._mutex:
            self._pending.setdefault(_place(using), Counter())[kind] += 1
            if self._writer is None:
                self._writer = self._started()

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
                counts = Counter(self._pending.get(_place(using), {}))
            yield counts

    def write(self) -> None:
        """Bring everything into the table now; what can not be written stays."""
        with self._writing:
            with self._mutex:
                taken, self._pending = self._pending, {}
            for place, counts in taken.items():
                self._write_or_keep(place, counts)

    def _write_or_keep(self, place: _Place, counts: Counter[Kind]) -> None:
        using, name = place
        if _place(using) != place:
            return
        try:
            _write(using, counts)
        # Whatever it is: no count is worth a crash of the process that counted.
        except Exception as error:
            log.warning("counts of locks in %s stay in memory: %s", name, error)
            with self._mutex:
                self._pending.setdefault(place, Counter()).update(counts)

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
        self._mutex = threading.Lock()
        self._writing = threading.Lock()
        self._hurry = threading.Event()
        self._pending = {}
        self._writer = None


tally = Tally(WRITTEN_EVERY)
atexit.register(tally.finish)
os.register_at_fork(after_in_child=tally._forget)


def _place(using: str) -> _Place:
    return using, str(connections.settings[using]["NAME"])


def _write(using: str, counts: Counter[Kind]) -> None:
    with closing(connections.create_connection(using)) as connection, connection.cursor() as cursor:
        cursor.execute(_WRITE, [counts[kind] for kind in KINDS])
