import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from math import inf

import pytest
from django.db import connection

from locks.counts import Tally
from locks.history import timings
from locks.incidents import Incident
from locks.models import Minute, Timing
from locks.timings import BOUNDS
from tests.locks.audit import forget_counts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_is_on_its_way(transactional_db):
    forget_counts()


def _counts(namespace, what):
    return {timing.bound: timing.count for timing in timings().get((namespace, what), [])}


def test_a_duration_is_counted_below_the_bound_that_it_does_not_exceed(tally):
    for seconds in (0, 0.001, 0.0011, 0.5, 0.51, 60, 61):
        tally.time(1, "wait", seconds)
    tally.write()

    assert _counts(1, "wait") == {0.001: 2, 0.005: 1, 0.5: 1, 1.0: 1, 60.0: 1, inf: 1}


def test_the_bounds_are_those_that_a_person_would_ask_for():
    assert (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, inf) == BOUNDS


def test_namespaces_and_waits_and_holds_are_told_apart(tally):
    tally.time(1, "wait", 0.002)
    tally.time(1, "hold", 0.002)
    tally.time(1, "hold", 0.003)
    tally.time(2, "hold", 0.02)
    tally.write()

    assert [_counts(1, "wait"), _counts(1, "hold"), _counts(2, "hold")] == [{0.005: 1}, {0.005: 2}, {0.05: 1}]


def test_what_processes_write_adds_up(tally):
    other = Tally(timedelta(hours=1))
    for _ in range(3):
        for one in (tally, other):
            one.time(1, "hold", 0.25)
            one.write()
    other.finish()
    (timing,) = Timing.objects.all()

    assert (timing.count, timing.seconds) == (6, 1.5)


def _written_at_once(*tallies):
    with ThreadPoolExecutor(len(tallies)) as threads:
        list(threads.map(Tally.write, tallies))
    for one in tallies:
        assert not one._pending
        one.finish()


def test_processes_that_write_at_once_lose_nothing():
    tallies = [Tally(timedelta(hours=1)) for _ in range(4)]
    for one in tallies:
        for namespace in range(1, 101):
            one.time(namespace, "wait", 0.002)
    _written_at_once(*tallies)

    assert [timing.count for timing in Timing.objects.all()] == [4] * 100


@pytest.fixture
def slow_rows(transactional_db):
    """Each row of the table takes a while to be written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION take_a_while() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$;"
            "CREATE TRIGGER slow BEFORE UPDATE ON locks_timing FOR EACH ROW EXECUTE FUNCTION take_a_while()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION take_a_while() CASCADE")


def test_at_the_turn_of_a_minute_writers_do_not_wait_for_each_other_in_a_circle(tally, slow_rows, monkeypatch):
    """Who writes the row of a minute writes alone; then two may write two of them at once."""
    one, other = (Tally(timedelta(hours=1)) for _ in range(2))
    for namespace in range(1, 21):
        for writer, place in [(tally, namespace), (one, namespace), (other, 21 - namespace)]:
            writer.time(place, "wait", 0.002)
    tally.write()
    monkeypatch.setattr("locks.counts._MINUTE", "SELECT %s, %s, %s, %s, %s, %s, %s;")
    _written_at_once(one, other)

    assert [timing.count for timing in Timing.objects.all()] == [3] * 20


def test_a_minute_has_the_seconds_that_were_waited_and_the_longest_wait(tally):
    for seconds in (0.5, 2.5):
        tally.time(1, "wait", seconds)
    tally.time(1, "hold", 100)
    tally.write()
    tally.time(2, "wait", 1)
    tally.write()
    minutes = list(Minute.objects.all())

    assert sum(minute.waited_seconds for minute in minutes) == 4
    assert max(minute.longest_wait for minute in minutes) == 2.5


def test_a_wait_without_success_is_in_the_minute_and_not_among_the_durations(tally):
    for kind in ("timeouts", "skips", "waits_over_1s", "lost"):
        tally.tell(Incident(kind, 1, 42, "", "cycle reap", 15.0))
    tally.write()

    assert (Minute.objects.get().waited_seconds, Minute.objects.get().longest_wait) == (15, 15)
    assert not Timing.objects.exists()


def test_what_can_not_be_written_stays_and_adds_up(tally, monkeypatch):
    monkeypatch.setattr("locks.counts._write", _refuse)
    for seconds in (0.5, 2.0):
        tally.time(1, "wait", seconds)
        tally.write()
    monkeypatch.undo()
    assert not Timing.objects.exists()
    tally.time(1, "wait", 1.0)
    tally.write()

    assert _counts(1, "wait") == {0.5: 1, 1.0: 1, 5.0: 1}
    assert Minute.objects.get().longest_wait == 2.0


def _refuse(*_):
    raise OSError("the database is away")


def test_timing_starts_one_thread_and_not_one_per_call():
    tally = Tally(timedelta(hours=1))
    before = threading.active_count()
    for _ in range(1000):
        tally.time(1, "wait", 0.001)

    assert threading.active_count() == before + 1
    tally.finish()
    assert threading.active_count() == before


def test_where_no_thread_can_be_started_nothing_is_lost(tally, monkeypatch):
    monkeypatch.setattr("threading.Thread.start", _no_thread)
    tally.time(1, "wait", 0.001)
    monkeypatch.undo()
    tally.write()

    assert _counts(1, "wait") == {0.001: 1}


def _no_thread(_):
    raise RuntimeError("can't start new thread")
