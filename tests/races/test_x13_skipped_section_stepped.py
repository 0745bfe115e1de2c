"""X13, in every order: the error of a body comes out of its section, whether the section was entered or skipped."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

import locks
from agents.announce import process_place
from agents.cycles import passing, reaper
from agents.models import Agent
from locks import LockNamespace, advisory_lock
from locks.testing import Scene, step
from tests.races.exploring import COMMIT, LOCK, agent_of_session, explored, found_wrong, fresh, only_this_run
from tests.races.hooks import Session
from tests.races.mutants import replaced
from tests.races.test_x13_error_in_a_skipped_section import _naive, _yielding_nothing

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT
STOPS = (LOCK, COMMIT, "ROLLBACK")


def hold(namespace, key):
    with transaction.atomic(), advisory_lock(namespace, key):
        step("inside")


# -- the library --------------------------------------------------------------

ERROR = ValueError("from the body")


def section_that_fails():
    """Say what came out, and whether the section had been entered."""
    entered = None
    try:
        with transaction.atomic(), locks.advisory_lock_or_skip(AGENT, 42) as entered:
            step("inside")
            raise ERROR
    except Exception as error:
        return error, entered


def all_orders():
    """Explore, and return in how many orders the section was entered and skipped."""
    seen = []

    def check(outcome):
        raised, entered = outcome.results["asks"]
        assert raised is ERROR, f"{raised!r} came out"
        seen.append(entered)

    explored(lambda: Scene({"holds": lambda: hold(AGENT, 42), "asks": section_that_fails}, STOPS), check)
    return set(seen)


def test_the_bodys_error_comes_out_whether_it_was_entered_or_skipped():
    assert all_orders() == {True, False}


@pytest.mark.parametrize(
    ("mutant", "said"),
    [(_naive, "generator didn't stop after throw"), (_yielding_nothing, "generator didn't yield")],
)
def test_mutant_in_some_order_a_generators_error_comes_out(mutant, said):
    with replaced(locks, "advisory_lock_or_skip", mutant), found_wrong(said):
        all_orders()


# -- the reaper's pass, which meets an operator -------------------------------


@pytest.fixture
def scene(host, apart):
    """One agent that cannot be judged, which an operator holds for a while, and one behind it that can."""
    gone = (("X-Headspace-Process", f"999999999 1 {process_place()}"),)
    agents = []

    def make():
        only_this_run()
        agents[:] = [fresh(Session(host.token, headers=gone), ago=timedelta(minutes=ago)) for ago in (30, 20)]
        bad = agent_of_session(agents[0])
        Agent.objects.filter(pk=bad.pk).update(working={"tools": 5})
        return Scene({"holds": lambda: hold(AGENT, bad.pk), "reaper": lambda: reaper.run_once(timezone.now())}, (LOCK,))

    def check(outcome):
        report = outcome.results["reaper"]
        asked = outcome.schedule.index(f"reaper: {LOCK}")
        is_held = outcome.schedule.index(f"holds: {LOCK}") < asked < outcome.schedule.index("holds: inside")
        assert (report.skipped, report.failed) == (int(is_held), int(not is_held)), f"{report} where held is {is_held}"
        assert agent_of_session(agents[1]).presence == "ended"

    return make, check


def test_a_pass_tells_who_was_skipped_from_who_failed_and_goes_on(scene):
    explored(*scene)


def test_mutant_that_yields_nothing_counts_who_was_skipped_as_failed(scene):
    with replaced(passing, "advisory_lock_or_skip", _yielding_nothing), found_wrong("where held is True"):
        explored(*scene)
