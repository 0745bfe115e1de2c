import os
import signal
import sys
import threading
import time
from datetime import timedelta

import pytest

from headspace.child import Program
from headspace.programs import programs, web_threads
from headspace.stops import Stops
from headspace.supervisor import Post, Supervisor
from tests.start.conftest import children, gone, wait_until

WAITS = "import signal; print('waits', flush=True); signal.pause()"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"
# In one write each: two that print at once may mix their lines.
FORKS = "import os, signal; os.fork(); os.write(1, b'waits\\n'); signal.pause()"


def program(script, **options):
    return Program(name="one", command=(sys.executable, "-c", script), **options)


class Run:
    """A supervisor in this process, asked to stop by its own chore."""

    def __init__(self, *wanted):
        self.said = []
        self.seen = set()
        self._others = set(children(os.getpid()))
        self._supervisor = Supervisor(wanted, lambda name, line: self.said.append((name, line)))

    def until(self, true, signals=1, within=20):
        give_up_at = time.monotonic() + within
        left = signals

        def chore():
            nonlocal left
            self.seen |= set(children(os.getpid())) - self._others
            assert time.monotonic() < give_up_at, self.said
            if left and true():
                left -= 1
                os.kill(os.getpid(), signal.SIGTERM)

        with Stops() as stops:
            self._supervisor.run(stops, chore)
        return self

    def lines(self):
        return [line for _, line in self.said]


def test_output_is_passed_on_line_by_line_with_the_name():
    run = Run(program("print('a\\nb'); print('c', end=''); import sys; sys.stdout.flush(); sys.exit(3)"))
    run.until(lambda: len(run.said) >= 4)
    assert run.said[:4] == [
        ("one", "a"),
        ("one", "b"),
        ("one", "c"),
        ("one", "ended with code 3, starts again in 0.5 s"),
    ]


def test_what_ends_again_and_again_is_started_less_and_less_often():
    post = Post(program("pass"))
    child = post.fill({}, now=0.0)
    pauses = [post.vacate(now=1.0) for _ in range(9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert post.vacate(now=31.0) == 0.5
    child.finish()


def test_a_program_that_ran_for_a_while_is_started_again_soon():
    assert Post(program("pass")).vacate(now=10**9) == 0.5


def test_a_stop_asks_and_waits():
    run = Run(program(f"import signal, sys; signal.signal(15, lambda *_: sys.exit(print('bye'))); {WAITS}"))
    run.until(lambda: "waits" in run.lines())
    assert run.lines() == ["waits", "bye"]


def test_what_does_not_stop_in_its_time_is_killed():
    run = Run(program(IGNORES_SIGTERM, stop_within=timedelta(seconds=0.5)))
    run.until(lambda: "waits" in run.lines())
    assert run.lines() == ["waits", "does not stop: killed"]


def stopped_with(*delays):
    """Return what is said when a signal comes after each of these many seconds after the first one."""
    run = Run(program(IGNORES_SIGTERM, stop_within=timedelta(seconds=4)))
    timers = [threading.Timer(delay, os.kill, [os.getpid(), signal.SIGINT]) for delay in delays]
    begun_at = time.monotonic()

    def farewell_began():
        if "waits" in run.lines():
            [timer.start() for timer in timers]
            return True

    run.until(farewell_began)
    for timer in timers:
        timer.cancel()
    assert run.lines() == ["waits", "does not stop: killed"]
    return time.monotonic() - begun_at


def test_a_second_signal_kills_at_once():
    assert stopped_with(1.2) < 3.9


def test_signals_that_come_together_are_one():
    assert stopped_with(0.0, 0.1) >= 4


def test_a_stop_leaves_no_fork_behind():
    run = Run(program(FORKS))
    run.until(lambda: run.lines() == ["waits", "waits"])
    assert len(run.seen) == 2
    wait_until(lambda: all(gone(pid) for pid in run.seen), within=2)


def test_a_program_that_falls_silent_is_killed_and_started_again():
    marks_once = f"import os; os.write(int(os.environ['HEADSPACE_MARKS']), b'-'); {WAITS}"
    silence = {b"": timedelta(seconds=20), b"-": timedelta(seconds=0.3)}.get
    run = Run(program(marks_once, silence=silence))
    run.until(lambda: run.lines().count("waits") == 2)
    assert "does not move any more: killed" in run.lines()
    assert "was ended by SIGKILL, starts again in 0.5 s" in run.lines()


def test_signals_are_as_before_after_a_run():
    before = signal.getsignal(signal.SIGTERM)
    run = Run(program(WAITS))
    run.until(lambda: "waits" in run.lines())
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("workers", "wanted", "connections", "threads"),
    [(2, 8, 197, 8), (2, 8, 30, 5), (4, 8, 97, 8), (2, 8, 10, 1), (1, 64, 97, 64), (1, 100, 97, 77)],
)
def test_each_thread_of_the_web_finds_a_connection(workers, wanted, connections, threads):
    assert web_threads(workers, wanted, connections) == threads


def test_the_web_starts_first():
    first, *others = programs(3, 100)
    assert first.name == "web"
    assert first.start_after < min(other.start_after for other in others)
