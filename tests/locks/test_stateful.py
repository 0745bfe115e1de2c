"""Three connections take and give back locks in random order; after each step PostgreSQL holds what a model says.

The number in ``LOCKS_STATEFUL_EXAMPLES`` makes it longer than the few seconds of the ordinary run;
``LOCKS_STATEFUL_SHRINKS=1`` looks for the shortest way to a failure, which takes minutes.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as profile
from hypothesis.stateful import run_state_machine_as_test

from locks import sections
from tests.locks.stateful_facts import DEEPEST
from tests.locks.stateful_machine import ACTORS, Machine
from tests.locks.stateful_model import ENTERED, SKIPPED, VERIFIED, WAITS
from tests.races.mutants import replaced, rewritten

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = int(os.environ.get("LOCKS_STATEFUL_EXAMPLES") or 80)
SHRINKS = bool(os.environ.get("LOCKS_STATEFUL_SHRINKS"))
STEPS = 40
ANSWERS = {
    ENTERED,
    SKIPPED,
    WAITS,
    VERIFIED,
    "InsideTransaction",
    "LockLost",
    "LockOrder",
    "LockReentered",
    "LockTimeout",
    "LockUpgrade",
    "NotInTransaction",
}


@pytest.fixture
def machine(actor, settings):
    """The machine with its actors; what it was played with counts its steps."""
    settings.LOCKS = {**settings.LOCKS, "SESSIONS": 2 + ACTORS * DEEPEST}
    return type("Played", (Machine,), {"actors": [actor() for _ in range(ACTORS)], "steps": 0, "answers": set()})


def play(machine, examples=EXAMPLES):
    run_state_machine_as_test(
        machine,
        settings=profile(
            max_examples=examples,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate, *([Phase.shrink] if SHRINKS else [])],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_postgresql_holds_what_the_rules_say(machine):
    play(machine)
    assert machine.steps > EXAMPLES * STEPS / 2
    assert machine.answers == ANSWERS


# -- mutants --------------------------------------------------------------------

_UPGRADE = "strpos(held, ' s' || lock_id || ' ') > 0"
_GIVE_ALL_BACK = "PERFORM pg_advisory_unlock_all();"
_RELEASED = "PERFORM pg_advisory_unlock_all(), set_config("
MUTANTS = {
    "an upgrade goes through": [("locks_may_take", _UPGRADE, "strpos(held, 'nothing') > 0")],
    "the order is not looked at": [("locks_may_take", "IF held <> '' AND namespace > lowest", "IF false")],
    "a refusal of many keeps those taken before": [("locks_ask_session", _GIVE_ALL_BACK, "")],
    "the release forgets the marker": [("locks_release", _RELEASED, "PERFORM set_config(")],
    "a lock has no marker": [("locks_take", "locks_mark(lock_id, namespace) IS NOT NULL", "true")],
}


@pytest.mark.parametrize("changes", MUTANTS.values(), ids=MUTANTS)
def test_mutant_the_machine_finds_it(machine, changes):
    with rewritten(changes), pytest.raises(AssertionError):
        play(machine, 3 * EXAMPLES)


def test_mutant_the_savepoint_of_a_section_is_not_noted(machine):
    with (
        replaced(sections.Sections, "_inside", lambda self, key: key.id in self._entered),
        pytest.raises(AssertionError, match="LockReentered"),
    ):
        play(machine, 3 * EXAMPLES)
