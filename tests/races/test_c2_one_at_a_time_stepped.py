"""C2, in every order: hooks of one agent at once, also where one of them waits in the inbox already."""

from contextlib import nullcontext
from datetime import timedelta
from threading import current_thread

import pytest
from django.utils import timezone

from agents import intake
from agents.cycles import drainer
from agents.models import HookEvent
from locks import LockKey, LockNamespace
from locks.testing import Scene
from tests.races.exploring import COMMIT, HOOK, LOCK, STORE, agent_of_session, explored, found_wrong, fresh, whole
from tests.races.hooks import RECORD, Session
from tests.races.meeting import third
from tests.races.mutants import NO_INBOX_CHECK, NO_VERSION_CHECK, rewritten
from tests.races.truths import tools

SOON, LONG = timedelta(milliseconds=1), timedelta(seconds=60)
"""Patience that certainly ends in this test, and that certainly does not."""


@pytest.fixture
def scene(host, apart, limits):
    """Return a maker of scenes from what the hooks are, given a new session, and what must hold after them."""
    limits(BUSY_AFTER=LONG)

    def of(acts, check, stops=HOOK, **how):
        session = None

        def make():
            nonlocal session
            session = fresh(Session(host.token), **how)
            return Scene(acts(session), stops)

        def checked(outcome):
            check(session, outcome)
            whole(session, outcome)

        return make, checked

    return of


# -- read again after the lock ------------------------------------------------


def calls(count):
    """Begin so many calls at once."""

    def acts(session):
        return {f"t{number}": lambda number=number: session.pre(f"t{number}") for number in range(count)}

    def all_are_kept(session, outcome):
        found = tools(agent_of_session(session))
        assert found == set(outcome.results), f"only {found} are known"
        assert {answer.outcome for answer in outcome.results.values()} == {"applied"}

    return acts, all_are_kept


@pytest.mark.parametrize("remembered", [False, True], ids=["looking", "remembering"])
def test_two_calls_are_both_kept_in_every_order(scene, remembered):
    explored(*scene(*calls(2), remembered=remembered))


def test_three_calls_are_all_kept_in_every_order(scene):
    explored(*scene(*calls(3), (RECORD,), remembered=True))


@pytest.mark.parametrize("count", [2, 3])
def test_mutant_without_the_version_check_a_call_is_lost_in_some_order(scene, count):
    with rewritten(NO_VERSION_CHECK), found_wrong("are known"):
        explored(*scene(*calls(count), (RECORD,), remembered=True))


# -- the client's order -------------------------------------------------------


def applied(session):
    """Return the client's counts of the hooks that moved something, in the order in which they did."""
    changes = agent_of_session(session).changes.exclude(event__sequence=None).order_by("version", "pk")
    return list(dict.fromkeys(changes.values_list("event__sequence", flat=True)))


def wait_in_the_inbox(session, limits):
    """Let the first of the client's hooks find its agent busy."""
    limits(BUSY_AFTER=SOON)
    with third() as busy:
        busy.lock(LockKey(LockNamespace.AGENT, agent_of_session(session).pk))
        assert session.pre("t1", sequence=1).outcome == "pending"
        busy.step_aside()
    limits(BUSY_AFTER=LONG)


def test_a_hook_never_overtakes_one_that_waits_whoever_applies_that(scene, limits):
    def acts(session):
        wait_in_the_inbox(session, limits)
        return {"hook": lambda: session.stop(sequence=2), "drainer": lambda: drainer.run_once(timezone.now())}

    def check(session, outcome):
        assert applied(session) == [1, 2]
        assert outcome.results["hook"].outcome == "applied"
        assert not HookEvent.objects.filter(outcome="pending").exists()

    assert explored(*scene(acts, check, (*HOOK, LOCK, STORE, COMMIT))).met


class Full:
    """A lane with no room left."""

    def enter(self, place, patience):
        return nullcontext(False)


@pytest.fixture
def turned_away(scene, monkeypatch):
    """A scene in which the first hook finds its lane full, while the second one is on its way."""
    lanes = intake._lanes
    monkeypatch.setattr(intake, "_lanes", lambda: Full() if current_thread().name == "turned away" else lanes())

    def acts(session):
        return {"turned away": lambda: session.pre("t1", sequence=1), "hook": lambda: session.stop(sequence=2)}

    def check(session, outcome):
        stored = list(
            HookEvent.objects.filter(session_id=session.session).order_by("pk").values_list("sequence", flat=True)
        )
        drainer.run_once(timezone.now())
        found = applied(session)
        assert found == [1, 2] or stored[-2:] == [2, 1], f"stored in the order {stored}, but applied {found}"

    return scene(acts, check, (*HOOK, LOCK, STORE, COMMIT), remembered=True)


def test_who_was_turned_away_comes_before_who_came_later_in_every_order(turned_away):
    explored(*turned_away)


def test_mutant_without_a_look_into_the_inbox_under_the_lock_it_is_overtaken_in_some_order(turned_away):
    with rewritten(NO_INBOX_CHECK), found_wrong("but applied [2"):
        explored(*turned_away)
