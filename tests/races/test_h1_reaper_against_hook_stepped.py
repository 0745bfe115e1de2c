"""H1, in every order: the reaper and a hook of the agent that it judges; whoever is first under the lock decides."""

from datetime import timedelta

import pytest
from django.utils import timezone

from agents.announce import process_place
from agents.cycles import reaper
from agents.models import Agent
from agents.record import read_situation
from agents.snapshots import situation_of
from agents.transitions import lost
from locks.testing import Scene
from tests.races.exploring import (
    COMMIT,
    HOOK,
    LOCK,
    SITUATION,
    agent_of_session,
    explored,
    found_wrong,
    fresh,
    whole,
)
from tests.races.hooks import Session
from tests.races.mutants import NO_VERSION_CHECK, READ_BEFORE_THE_LOCK, replaced, rewritten, without

GONE = {"X-Headspace-Process": f"999999999 1 {process_place()}"}
LISTED = 'SELECT "agents_agent"."id"'
STOPS = (*HOOK, LISTED, LOCK, SITUATION, COMMIT)
TERMINAL = ("agents_command", "complete_is_terminal")
SILENT_FOR = timedelta(minutes=10)


def call(session):
    return session.pre("t1")


def stop(session):
    return session.stop()


def end(session):
    return session.end()


@pytest.fixture
def scene(host, apart, limits):
    """Return a maker of scenes: an agent long silent, whose process is gone, and a hook of it on its way."""
    limits(BUSY_AFTER=timedelta(seconds=60))

    def of(act, **how):
        session = None

        def make():
            nonlocal session
            session = fresh(Session(host.token, headers=tuple(GONE.items())), ago=SILENT_FOR, **how)
            return Scene({"hook": lambda: act(session), "reaper": lambda: reaper.run_once(timezone.now())}, STOPS)

        def check(outcome):
            became = what_became(session, outcome)
            assert became in ALLOWED[act], f"it came out as {became}"
            whole(session, outcome)

        return make, check

    return of


def what_became(session, outcome):
    """Return what became of the hook, of the agent, and what the reaper says that it did."""
    return outcome.results["hook"].outcome, agent_of_session(session).presence, outcome.results["reaper"].done


LATE = ("late", "ended", {"ended": 1})
ALLOWED = {
    call: [("applied", "alive", {}), LATE],
    stop: [("applied", "alive", {}), LATE],
    end: [("applied", "ended", {}), LATE],
}
"""The hook came first and saved its agent, or it came too late."""


@pytest.mark.parametrize("remembered", [False, True], ids=["looking", "remembering"])
@pytest.mark.parametrize("act", ALLOWED)
def test_a_hook_that_came_first_saves_its_agent_in_every_order(scene, act, remembered):
    assert explored(*scene(act, remembered=remembered)).met


def judge_by_the_list(agent_id, now):
    """End who was silent when the pass began, as fresh as its other rows may be."""
    return reaper._write(found := read_situation(agent_id), lost(situation_of(found), "gone"), now, "ended")


def test_mutant_that_judges_the_silence_before_the_lock_ends_an_agent_that_was_heard(scene):
    with replaced(reaper, "_judge", judge_by_the_list), found_wrong("('applied', 'ended', {'ended': 1})"):
        explored(*scene(call))


def test_mutant_on_rows_from_before_the_lock_the_reaper_ends_an_agent_that_was_heard(scene, monkeypatch):
    """Where the version does not say so either."""
    monkeypatch.setattr(reaper, "run_once", seen_before(reaper.run_once))
    with rewritten(NO_VERSION_CHECK), found_wrong("('applied', 'ended', {'ended': 1})"):
        explored(*scene(call))


def seen_before(run_once):
    """Return a pass that reads the rows of who is silent when it begins."""

    def ran(now):
        rows = {agent.pk: read_situation(agent.pk) for agent in Agent.objects.silent_since(now - SILENT_FOR / 2)}
        with replaced(reaper, "read_situation", rows.get):
            return run_once(now)

    return ran


@pytest.mark.parametrize("guard", [NO_VERSION_CHECK, READ_BEFORE_THE_LOCK], ids=["version", "read before the lock"])
def test_mutant_a_hook_that_decided_before_the_reaper_makes_the_agent_live_again(scene, guard):
    with without(*TERMINAL), rewritten(guard), found_wrong("('applied', 'alive', {'ended': 1})"):
        explored(*scene(call))
