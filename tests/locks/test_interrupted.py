"""Ctrl-C at any line, a garbage collector at any moment, a fork in the middle: nobody's place is lost, nobody hangs."""

import gc
import os
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from django.db import connections, transaction

import locks
from locks import LockLost, LockNamespace, LockReentered, advisory_lock, advisory_lock_or_skip
from locks.dedicated import connections_for
from locks.timings import Timings
from locks.waiters import waiting
from tests.locks.actors import PATIENCE, until, until_waiting
from tests.locks.actors import advisory_locks as counted
from tests.locks.test_fenced import fenced, verified

AGENT = LockNamespace.AGENT
ROOT = str(Path(locks.__file__).parent)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    # A connection that nobody closed is what these tests are about.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected():
    yield
    gc.collect()


class Interrupt:
    """Raises KeyboardInterrupt at the nth line of ours that is run; not where a mutex is just entered or left."""

    def __init__(self, at):
        self._left = at

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(ROOT):
            return None
        if event == "line" and not _is_at_a_mutex(frame):
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt
        return self


def _is_at_a_mutex(frame):
    lines = Path(frame.f_code.co_filename).read_text().splitlines()
    return "mutex" in lines[frame.f_lineno - 1] or "_changed" in lines[frame.f_lineno - 1]


def interrupted(act, at):
    """Run the act; return whether it was interrupted."""
    sys.settrace(Interrupt(at))
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def in_a_session():
    with fenced(7):
        pass


def in_a_transaction():
    with transaction.atomic(), advisory_lock(AGENT, 7):
        pass


@pytest.mark.parametrize("act", [in_a_session, in_a_transaction])
def test_ctrl_c_at_any_line_costs_no_place_and_leaves_no_waiter_and_no_lock(act):
    at = 1
    while interrupted(act, at):
        at += 3
    gc.collect()
    assert at > 100
    assert waiting() == 0
    assert len(connections_for("default")) == len(connections_for("default")._kept)
    until(lambda: counted() == 0)


def test_a_section_that_was_dropped_gives_its_place_back():
    stack = ExitStack()
    for key in range(3):
        stack.enter_context(fenced(key))
    ours = connections_for("default")
    assert len(ours) == 3
    stack.pop_all()
    del stack
    gc.collect()
    assert len(ours) == 0
    until(lambda: counted() == 0)


def test_the_collector_may_end_a_section_in_the_middle_of_noting_another(monkeypatch):
    def holder():
        with fenced(5):
            yield

    add = Timings.add

    def add_with_collection(self, *noted):
        gc.collect()
        add(self, *noted)

    def act():
        cycle = [holder()]
        next(cycle[0])
        cycle.append(cycle)
        del cycle
        monkeypatch.setattr(Timings, "add", add_with_collection)
        with suppress(LockReentered):
            in_a_transaction()
        connections.close_all()

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    until(lambda: counted() == 0)


def test_a_block_is_open_until_it_is_left_also_beyond_the_savepoint_that_it_was_entered_in():
    stack = ExitStack()
    with transaction.atomic():
        with transaction.atomic():
            stack.enter_context(advisory_lock(AGENT, 1))
        with pytest.raises(LockReentered):
            advisory_lock(AGENT, 1).__enter__()
        stack.close()
        with advisory_lock(AGENT, 1):
            pass


class TestForks:
    """In a forked child nothing is its own but what it begins."""

    def in_a_child(self, act):
        """Return what the act returns, in words, in a forked child."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, str(act()).encode())
            except BaseException as error:
                os.write(writing, type(error).__name__.encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as said:
            words = said.read()
        os.waitpid(child, 0)
        return words

    def test_who_waits_in_the_parent_waits_not_in_the_child(self, actor, settings):
        settings.LOCKS = {"WAITERS": 1}
        holder, waiter = actor(), actor()
        for one in (holder, waiter):
            one.enter(transaction.atomic())
        holder.enter(advisory_lock(AGENT, 9))
        entering = waiter.start_entering(advisory_lock(AGENT, 9, timeout=PATIENCE))
        until_waiting(waiter)
        assert waiting() == 1
        assert self.in_a_child(waiting) == "0"
        holder.leave()
        entering.result(PATIENCE)

    def test_a_child_cannot_verify_its_parents_lock(self):
        with fenced() as lock:
            assert self.in_a_child(lambda: verified(lock)) == LockLost.__name__
            verified(lock)

    def test_a_parent_that_dies_takes_its_lock_with_it_though_its_child_lives_on(self):
        """The child's copy of the socket would keep the session, and with it the lock."""
        reading, writing = os.pipe()

        def hold_fork_and_die():
            fenced(77).__enter__()
            if os.fork() == 0:
                # Lives until this test lets it go.
                os.close(writing)
                os.read(reading, 1)
            os._exit(0)

        assert self.in_a_child(lambda: None) == "None"
        parent = os.fork()
        if parent == 0:
            connections_for("default")
            hold_fork_and_die()
        os.waitpid(parent, 0)
        until(_is_free)
        os.close(writing)
        os.close(reading)


def _is_free():
    with transaction.atomic(), advisory_lock_or_skip(AGENT, 77) as entered:
        return entered
