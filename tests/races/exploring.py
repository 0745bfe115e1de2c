"""Scenes for the step scheduler: a new session for each run, hooks through the view, and where they stop."""

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from unittest import mock

import pytest
from django.utils import timezone

from agents import intake
from agents.models import Agent, HookEvent
from locks.asks import ASK
from locks.testing import ScheduleFailed, explore
from tests.races.hooks import LOOK, RECORD, Answer, Session
from tests.races.truths import agent_of, broken

LOCK = ASK.partition(",")[0].strip()
COMMIT, SITUATION, STORE = "COMMIT", "SELECT agents_situation(", "SELECT agents_store("
HOOK = (LOOK, RECORD)
"""The stops of a hook that finds nobody in its way."""

_numbers = count()


def fresh(session, *then, remembered=False, ago=None):
    """Return a session that has begun, was given a first instruction and did what is to be done ``then``.

    Each call makes another agent. With ``remembered`` this process still knows what it wrote last, and its next hook is
    decided on that. ``ago``: all of it was so long ago.
    """
    made = replace(session, session=f"stepped{next(_numbers)}")
    began = timezone.now() - (ago or timedelta(0))
    with mock.patch.object(timezone, "now", lambda: began):
        for act in (Session.start, Session.prompt, *then):
            act(made)
    if not remembered:
        intake._memory.forget_all()
    return made


def only_this_run():
    """Let the reaper find none of the agents of earlier runs: they were heard just now."""
    Agent.objects.update(last_seen_at=timezone.now())


def agent_of_session(session):
    return agent_of(session.session)


def order_of(session, *names):
    """Return these hooks' names in the order in which the journal took them."""
    journal = HookEvent.objects.filter(session_id=session.session, name__in=names)
    return list(journal.order_by("pk").values_list("name", flat=True))


def whole(session, outcome):
    """Hold that every client got a good answer, and every truth of the session's agent stands."""
    heard = [result for result in outcome.results.values() if isinstance(result, Answer)]
    assert all(answer.is_good for answer in heard), heard
    found = broken(agent_of_session(session).pk)
    assert not found, found


@contextmanager
def found_wrong(saying):
    """Expect an exploration to find an order after which what must hold does not, for a reason with these words."""
    with pytest.raises(ScheduleFailed, match=re.escape(saying)) as found:
        yield found
    assert found.value.schedule


def explored(make_scene, check):
    """Explore; there must be several orders."""
    found = explore(make_scene, check, most=100)
    assert found.runs > 1
    return found
