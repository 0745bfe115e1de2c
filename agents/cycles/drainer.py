"""The drainer: applies what waits in the inbox of agents that nobody has locked since."""

import logging
from collections.abc import Iterator
from datetime import datetime
from math import inf

from django.db import transaction

from agents import conf, inbox
from agents.adoption import adopt
from agents.cycles.passing import go_over
from agents.cycles.report import Report
from agents.models import Agent, HookEvent
from agents.stored import delivery_of
from locks import Busy, labelled

log = logging.getLogger(__name__)

NAME = "drain"
AT_MOST = 1000
"""How many agents one pass looks at."""


def run_once(now: datetime) -> Report:
    """Give sessions whose first hook waits their agent, then apply every inbox in order."""
    _adopt_all(now)
    return go_over(NAME, _behind(), _drain, now)


def _behind() -> Iterator[int]:
    """Yield the agents with hooks that wait; again those that one turn was too short for, as long as they get fewer."""
    left, before = HookEvent.objects.filter(outcome="pending").count(), inf
    while 0 < left < before:
        yield from list(Agent.objects.pending().order_by("pk").values_list("pk", flat=True)[:AT_MOST])
        left, before = HookEvent.objects.filter(outcome="pending").count(), left


def _drain(agent_id: int, now: datetime) -> str:
    return "drained" if inbox.drain(agent_id, now) else ""


def _adopt_all(now: datetime) -> None:
    orphans = HookEvent.objects.filter(agent=None, outcome="pending").order_by("pk")
    sessions = {(row.host_id, row.vendor, row.session_id): row for row in reversed(orphans[:AT_MOST])}
    for row in sessions.values():
        try:
            with labelled(f"cycle {NAME}"), transaction.atomic():
                adopt(delivery_of(row), row.host_id, conf.busy_after())
        except Busy as busy:
            log.info("%s: %s", NAME, busy)
        except inbox.NOT_ITS_FAULT:
            raise
        except Exception:  # one that cannot be read never holds up the others
            inbox.refuse(row, now)
