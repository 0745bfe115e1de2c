"""C1, in every order: two writers of one command, each cut before it looks and before it records."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from locks.testing import Scene, replay
from tests.races.exploring import HOOK, agent_of_session, explored, found_wrong, fresh, order_of, whole
from tests.races.hooks import Session
from tests.races.mutants import NO_VERSION_CHECK, rewritten, without
from tests.races.truths import ends

TERMINAL = ("agents_command", "complete_is_terminal")
DONE = ("p1", "complete", "completed")
NEXT = ("p2", "commanded", "")


def stop(session):
    return session.stop()


def end(session):
    return session.end()


def question(session):
    return session.ask("t1")


def next_prompt(session):
    return replace(session, prompt_id="p2").prompt("Next.")


NAMES = {stop: "Stop", end: "SessionEnd", question: "PreToolUse", next_prompt: "UserPromptSubmit"}
"""By the acts: the hooks in the journal."""
ENDS = {(stop, next_prompt): [DONE, NEXT], (stop, end): [DONE], (question, stop): [DONE]}
"""How the commands end, whoever wrote first."""


@pytest.fixture
def scene(host, apart, limits):
    """Return a maker of scenes: two hooks of a session of its own, and what must hold after them."""
    limits(BUSY_AFTER=timedelta(seconds=60))

    def of(pair, remembered):
        session = None

        def make():
            nonlocal session
            session = fresh(Session(host.token), remembered=remembered)
            return Scene({act.__name__: lambda act=act: act(session) for act in pair}, HOOK)

        def check(outcome):
            agent = agent_of_session(session)
            assert ends(agent) == ENDS[pair], f"the commands ended as {ends(agent)}"
            assert order_of(session, *map(NAMES.get, pair)), "nothing was written"
            whole(session, outcome)

        return make, check

    return of


@pytest.mark.parametrize("remembered", [False, True], ids=["looking", "remembering"])
@pytest.mark.parametrize("pair", ENDS, ids=lambda pair: " and ".join(act.__name__ for act in pair))
def test_whatever_the_order_the_second_writer_is_judged_on_what_the_first_one_left(scene, pair, remembered):
    explored(*scene(pair, remembered))


MUTANTS = [((stop, next_prompt), []), ((stop, end), []), ((question, stop), [TERMINAL])]


@pytest.mark.parametrize(("pair", "constraints"), MUTANTS)
def test_mutant_without_the_version_check_there_is_an_order_in_which_one_undoes_the_other(scene, pair, constraints):
    make, check = scene(pair, False)
    with ExitStack() as off:
        for constraint in constraints:
            off.enter_context(without(*constraint))
        off.enter_context(rewritten(NO_VERSION_CHECK))
        with found_wrong("the commands ended as") as found:
            explored(make, check)
        with found_wrong(str(found.value).partition("\n")[0]):
            replay(make, found.value.schedule, check)
