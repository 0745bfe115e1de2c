import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from locks import Lanes
from tests.locks.actors import PATIENCE, until

LONG = timedelta(seconds=PATIENCE)
NONE = timedelta(0)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as threads:
        yield threads


def test_one_is_admitted_at_a_time(pool):
    lanes, inside, most, mutex = Lanes(16), 0, 0, threading.Lock()
    start = threading.Barrier(8)

    def work():
        nonlocal inside, most
        start.wait(PATIENCE)
        for _ in range(50):
            with lanes.enter("hot", LONG) as admitted:
                assert admitted
                with mutex:
                    inside += 1
                    most = max(most, inside)
                with mutex:
                    inside -= 1

    for done in [pool.submit(work) for _ in range(8)]:
        done.result(PATIENCE)
    assert most == 1
    assert len(lanes) == 0


def test_they_come_in_the_order_in_which_they_asked(pool):
    lanes, order = Lanes(16), []

    def work(number):
        with lanes.enter("hot", LONG):
            order.append(number)

    with lanes.enter("hot", LONG):
        futures = []
        for number in range(10):
            futures.append(pool.submit(work, number))
            until(lambda expected=number + 1: lanes.waiting("hot") == expected)
    for done in futures:
        done.result(PATIENCE)

    assert order == list(range(10))


def test_beyond_the_limit_nobody_waits(pool):
    lanes = Lanes(2)
    with lanes.enter("hot", LONG):
        waiters = [pool.submit(_admitted, lanes, "hot", LONG) for _ in range(2)]
        until(lambda: lanes.waiting("hot") == 2)

        assert pool.submit(_admitted, lanes, "hot", LONG).result(PATIENCE) is False

    assert [done.result(PATIENCE) for done in waiters] == [True, True]


def test_whose_patience_ends_is_turned_away_and_leaves_the_queue(pool):
    lanes = Lanes(2)
    with lanes.enter("hot", LONG):
        assert pool.submit(_admitted, lanes, "hot", timedelta(milliseconds=5)).result(PATIENCE) is False
        assert lanes.waiting("hot") == 0

    assert len(lanes) == 0


def test_a_hot_lane_does_not_stop_another(pool):
    lanes = Lanes(0)
    with lanes.enter("hot", LONG):
        assert pool.submit(_admitted, lanes, "cold", NONE).result(PATIENCE) is True


def test_an_error_inside_is_the_callers_and_frees_the_lane():
    lanes = Lanes(0)

    with pytest.raises(KeyError), lanes.enter("hot", NONE):
        raise KeyError
    assert _admitted(lanes, "hot", NONE)


def test_an_error_of_one_who_was_turned_away_does_not_free_the_lane_of_another(pool):
    lanes = Lanes(0)
    with lanes.enter("hot", NONE):
        with pytest.raises(KeyError):
            pool.submit(_fail_inside, lanes).result(PATIENCE)

        assert pool.submit(_admitted, lanes, "hot", NONE).result(PATIENCE) is False


def test_nothing_is_kept_of_keys_that_nobody_uses():
    lanes = Lanes(1)
    for key in range(1000):
        assert _admitted(lanes, key, NONE)

    assert len(lanes) == 0


def test_a_turn_that_comes_to_a_thread_that_is_being_ended_goes_on(monkeypatch):
    lanes, given_up = Lanes(1), []

    class Ended(threading.Event):
        def wait(self, timeout=None):
            # The turn comes, and with it the signal that ends the thread.
            lanes._leave("hot")
            raise SystemExit

    lanes._waiting["hot"] = deque()
    monkeypatch.setattr("locks.lanes.threading.Event", Ended)
    with pytest.raises(SystemExit), lanes.enter("hot", LONG):
        given_up.append("inside")

    assert given_up == []
    assert len(lanes) == 0


def test_a_limit_below_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        Lanes(-1)


def _admitted(lanes, key, patience):
    with lanes.enter(key, patience) as admitted:
        return admitted


def _fail_inside(lanes):
    with lanes.enter("hot", NONE):
        raise KeyError
