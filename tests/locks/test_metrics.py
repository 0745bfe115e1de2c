import pytest
from django.db import transaction

from locks import LockNamespace, advisory_lock
from locks.metrics import families
from tests.locks.actors import PATIENCE, ask, until_waiting
from tests.locks.audit import forget_counts

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


@pytest.fixture(autouse=True)
def nothing_is_on_its_way(transactional_db):
    forget_counts()


def _numbers():
    samples = [sample for family in families() for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_where_nothing_is_held_everything_is_nothing():
    found = _numbers()

    assert [found[name,] for name in ("locks_held", "locks_waiting", "locks_oldest_wait_seconds", "locks_ghosts")] == [
        0,
        0,
        0,
        0,
    ]
    assert 0 < found["locks_table_taken",] < found["locks_table_nominal",]


def test_what_is_held_and_waited_for_is_counted(actor):
    holder, waiter, stranger = actor(), actor(), actor()
    for one in (holder, waiter):
        one.enter(transaction.atomic())
    holder.enter(advisory_lock(AGENT, 42))
    holder.enter(advisory_lock(AGENT, 41))
    waiter.start_entering(advisory_lock(AGENT, 42))
    until_waiting(waiter)
    stranger.do(ask, "SELECT pg_advisory_lock(5)")
    found = _numbers()

    assert (found["locks_held",], found["locks_waiting",], found["locks_ghosts",]) == (3, 1, 1)
    assert 0 < found["locks_oldest_wait_seconds",] < PATIENCE


def test_durations_are_histograms_by_namespace(tally):
    for seconds in (0.0005, 0.0007, 0.3, 100):
        tally.time(AGENT, "wait", seconds)
    tally.time(77, "hold", 2)
    tally.write()
    found = _numbers()

    counted = [found["locks_wait_seconds_bucket", "AGENT", bound] for bound in ("0.001", "0.1", "0.5", "60.0", "+Inf")]
    assert counted == [2, 2, 3, 3, 4]
    assert found["locks_wait_seconds_count", "AGENT"] == 4
    assert found["locks_wait_seconds_sum", "AGENT"] == pytest.approx(100.3012)
    assert found["locks_hold_seconds_bucket", "77", "5.0"] == found["locks_hold_seconds_count", "77"] == 1
    assert ("locks_hold_seconds_count", "AGENT") not in found
