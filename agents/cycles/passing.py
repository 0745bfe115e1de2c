"""How every pass goes over its candidates: a short transaction and a lock each, never waiting, none stops the rest."""

import logging
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime

from django.db import transaction

from agents.cycles.report import Report, tallied
from locks import LockNamespace, advisory_lock_or_skip, labelled

log = logging.getLogger(__name__)

Work = Callable[[int, datetime], str]
"""Judge one agent, by its primary key, under its lock; return a word for what was done, or nothing."""


def go_over(cycle: str, candidates: Iterable[int], work: Work, now: datetime) -> Report:
    """Do the work on each candidate whose lock is free, commit each, and count."""
    words: list[str | None] = []
    failed = 0
    with labelled(f"cycle {cycle}", uuid.uuid4().hex[:12]):
        for agent_id in candidates:
            try:
                words.append(_one(agent_id, work, now))
            except Exception:  # one bad agent never stops the pass
                log.exception("%s: agent %s could not be finished", cycle, agent_id)
                failed += 1
    done = [word for word in words if word is not None]
    report = Report(cycle, now, len(done), len(words) - len(done), failed, tallied(done))
    log.log(logging.INFO if report.done or report.failed else logging.DEBUG, "%s", report)
    return report


def _one(agent_id: int, work: Work, now: datetime) -> str | None:
    with transaction.atomic(), advisory_lock_or_skip(LockNamespace.AGENT, agent_id) as acquired:
        return work(agent_id, now) if acquired else None
