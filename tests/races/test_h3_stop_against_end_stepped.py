"""H3, in every order: the stop and the end of a session complete one command once.

The stop that waits for its time and completes the command later is not built; it will be a third session here.
"""

from datetime import timedelta

import pytest

from locks.testing import Scene
from tests.races.exploring import HOOK, agent_of_session, explored, found_wrong, fresh, whole
from tests.races.hooks import Session
from tests.races.mutants import NO_VERSION_CHECK, rewritten
from tests.races.truths import ends, outcomes


@pytest.fixture
def scene(host, apart, limits):
    """Return a maker of scenes: a session at work that stops and ends at once."""
    limits(BUSY_AFTER=timedelta(seconds=60))

    def of(**how):
        session = None

        def make():
            nonlocal session
            session = fresh(Session(host.token), lambda session: session.pre("t1"), **how)
            return Scene({"stop": session.stop, "end": session.end}, HOOK)

        def check(outcome):
            agent = agent_of_session(session)
            completed = agent.changes.filter(after="complete").count()
            assert completed == 1, f"the command was completed {completed} times"
            assert ends(agent) == [("p1", "complete", "completed")], "how it ended is lost"
            assert agent.presence == "ended", "the session's end is lost"
            assert outcomes(session.session)["applied"] + outcomes(session.session)["late"] == 5
            whole(session, outcome)

        return make, check

    return of


@pytest.mark.parametrize("remembered", [False, True], ids=["looking", "remembering"])
def test_the_command_is_completed_once_and_nothing_is_lost_in_every_order(scene, remembered):
    explored(*scene(remembered=remembered))


def test_mutant_without_the_version_check_the_command_is_completed_twice_in_some_order(scene):
    with rewritten(NO_VERSION_CHECK), found_wrong("the command was completed 2 times"):
        explored(*scene())
