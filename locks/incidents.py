"""What went badly with a lock, each single time: which lock, who asked for it, who held it."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from locks.labels import Label

Kind = Literal["timeouts", "skips", "waits_over_1s", "lost"]
KINDS: tuple[Kind, ...] = ("timeouts", "skips", "waits_over_1s", "lost")

PENDING = 200
"""How many a process keeps until they are written."""
KEPT = 1000
"""How many the table keeps, none for longer than a day."""
SHARE_OF_SKIPS = 0.25
"""Of either: who skips a hundred times a second must not push out what is rare."""
_LONGEST_NAME = 500

# One message and one transaction with the rest of what is written (``counts``). The server's clock says when it was.
# What another process is just deleting is skipped, so that two never wait for each other.
WRITE = """
    INSERT INTO locks_incident (
        at, kind, namespace, key, name, asker, correlation_id, seconds, holder, holder_correlation_id, holder_pid
    )
    SELECT now() - make_interval(secs => ago), kind, namespace, key, name, asker, correlation_id, seconds, holder,
           holder_correlation_id, holder_pid
    FROM jsonb_to_recordset(%s::jsonb) AS told(
        ago float8, kind text, namespace integer, key bigint, name text, asker text, correlation_id text,
        seconds float8, holder text, holder_correlation_id text, holder_pid integer
    ) ORDER BY ago DESC;
    DELETE FROM locks_incident WHERE id IN (
        SELECT id FROM locks_incident WHERE at < now() - interval '1 day'
            OR kind = 'skips' AND id <= (SELECT id FROM locks_incident WHERE kind = 'skips'
                                         ORDER BY id DESC OFFSET %s LIMIT 1)
            OR kind <> 'skips' AND id <= (SELECT id FROM locks_incident WHERE kind <> 'skips'
                                          ORDER BY id DESC OFFSET %s LIMIT 1)
        FOR UPDATE SKIP LOCKED
    );
"""


@dataclass(frozen=True, slots=True)
class Incident:
    """One time that it went badly."""

    kind: Kind
    namespace: int
    key: int
    name: str
    """The key as text, where it was asked for as one."""
    asker: str
    """``Label.text`` of who asked."""
    seconds: float
    """How long was waited."""
    holder: str = ""
    """``Label.text`` of who held it; empty where that is not known."""
    holder_pid: int | None = None


class Backlog:
    """Incidents that are not yet in the table: the newest; the others are counted."""

    def __init__(self) -> None:
        skips = round(PENDING * SHARE_OF_SKIPS)
        self._skips: deque[tuple[float, Incident]] = deque(maxlen=skips)
        self._others: deque[tuple[float, Incident]] = deque(maxlen=PENDING - skips)
        self.untold = 0
        """How many had no room."""

    def add(self, incident: Incident) -> None:
        """Keep what happens now."""
        self._keep((time.monotonic(), incident))

    def update(self, later: "Backlog") -> None:
        """Keep what another one has, too."""
        self.untold += later.untold
        for told in (*later._skips, *later._others):
            self._keep(told)

    def parameters(self) -> tuple[list[dict[str, object]], int, int]:
        """Return what ``WRITE`` asks for: the rows, and how many skips and others the table keeps."""
        skips = round(KEPT * SHARE_OF_SKIPS)
        return list(self._rows()), skips, KEPT - skips

    def _keep(self, told: tuple[float, Incident]) -> None:
        kept = self._skips if told[1].kind == "skips" else self._others
        self.untold += len(kept) == kept.maxlen
        kept.append(told)

    def _rows(self) -> Iterator[dict[str, object]]:
        now = time.monotonic()
        for told_at, incident in (*self._skips, *self._others):
            asker, holder = _label(incident.asker), _label(incident.holder)
            yield {
                "ago": now - told_at,
                "kind": incident.kind,
                "namespace": incident.namespace,
                "key": incident.key,
                "name": _storable(incident.name),
                "asker": asker.holder,
                "correlation_id": asker.correlation_id,
                "seconds": max(0.0, incident.seconds),
                "holder": holder.holder,
                "holder_correlation_id": holder.correlation_id,
                "holder_pid": incident.holder_pid,
            }


def _label(text: str) -> Label:
    found = Label.read(text) or Label(text)
    return Label(_storable(found.holder), _storable(found.correlation_id))


def _storable(text: str) -> str:
    """Return what the database can keep of a text: a key may be any, even what is no character."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")[:_LONGEST_NAME]
