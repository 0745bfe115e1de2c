"""Keeps programs running: starts them, passes their output on, restarts what ends, and stops all in order."""

import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headspace.child import Child, Program
from headspace.stops import Stops

_LOOK_EVERY = 0.25  # seconds
_FIRST_PAUSE = 0.5  # seconds before a restart; doubled each time, up to the longest
_LONGEST_PAUSE = 30.0
_SETTLED_AFTER = 30.0  # a program that ran for so many seconds is restarted as if for the first time

Say = Callable[[str, str], None]


def _nothing() -> None:
    return


class Post:
    """One program's place: the child that fills it now, or when it is to be filled again."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.child: Child | None = None
        self.start_at = time.monotonic() + program.start_after.total_seconds()
        self._pause = _FIRST_PAUSE
        self._started_at = 0.0
        self._heard_at = 0.0

    def fill(self, environment: Mapping[str, str], now: float) -> Child:
        """Start the program."""
        self.child = Child(self.program, environment)
        self._started_at = self._heard_at = now
        return self.child

    def vacate(self, now: float) -> float:
        """Forget the child that ended, and return in how many seconds the next one starts."""
        self.child = None
        if now - self._started_at > _SETTLED_AFTER:
            self._pause = _FIRST_PAUSE
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        self.start_at = now + pause
        return pause

    def hear(self, now: float) -> None:
        """Note that the child is alive."""
        if self.child:
            self.child.hear()
            self._heard_at = now

    def silent(self, now: float) -> bool:
        """Say whether the child gave no mark for longer than it may."""
        if not self.child or not self.program.silence:
            return False
        return now - self._heard_at > self.program.silence(self.child.last_mark).total_seconds()


class Supervisor:
    """Runs in the main thread of its process: the kernel ends a child when the thread that forked it ends."""

    def __init__(self, programs: Sequence[Program], say: Say, environment: Mapping[str, str] | None = None) -> None:
        self._posts = [Post(program) for program in programs]
        self._say = say
        self._environment = environment or {}
        self._selector = selectors.DefaultSelector()

    def watch(self, source: Any, callback: Callable[[], object]) -> None:
        """Call back whenever the source, a socket or a descriptor, can be read."""
        self._selector.register(source, selectors.EVENT_READ, callback)

    def unwatch(self, source: Any) -> None:
        """Look at the source no more."""
        self._selector.unregister(source)

    def kill_all(self) -> None:
        """Kill every child; each is started again."""
        for child in self._children():
            child.kill()

    def run(self, stops: Stops, chore: Callable[[], None] = _nothing, farewell: Callable[[], None] = _nothing) -> None:
        """Run until asked to stop, then ask every child to; when asked again, kill them.

        The chore is called several times a second, the farewell once before the children stop.
        """
        with self._selector:
            self.watch(stops.wake, stops.hush)
            try:
                while not stops.asked:
                    self._turn()
                    chore()
            finally:
                farewell()
                self._stop_children(stops)

    def _turn(self) -> None:
        now = time.monotonic()
        for post in self._posts:
            if not post.child and post.start_at <= now:
                self._start(post, now)
        self._listen()
        for post in self._posts:
            if post.child:
                self._look_after(post, post.child)

    def _start(self, post: Post, now: float) -> None:
        child = post.fill(self._environment, now)
        self.watch(child.output, lambda: self._pass_on(post, child.lines()))
        if post.program.silence:
            self.watch(child.marks, lambda: post.hear(time.monotonic()))

    def _listen(self) -> None:
        for key, _ in self._selector.select(_LOOK_EVERY):
            key.data()

    def _look_after(self, post: Post, child: Child) -> None:
        if child.ended():
            how = self._release(post, child)
            pause = post.vacate(time.monotonic())
            self._say(post.program.name, f"{how}, starts again in {pause:g} s")
        elif post.silent(time.monotonic()):
            self._say(post.program.name, "does not move any more: killed")
            child.kill()

    def _release(self, post: Post, child: Child) -> str:
        """Let go of what the child that ended leaves behind, and return how it ended."""
        self.unwatch(child.output)
        if post.program.silence:
            self.unwatch(child.marks)
        self._pass_on(post, child.finish())
        return child.end()

    def _pass_on(self, post: Post, lines: Sequence[str]) -> None:
        for line in lines:
            self._say(post.program.name, line)

    def _children(self) -> list[Child]:
        return [post.child for post in self._posts if post.child]

    def _stop_children(self, stops: Stops) -> None:
        begun_at = time.monotonic()
        for child in self._children():
            child.ask_to_stop()
        while self._children():
            self._listen()
            for post in self._posts:
                if post.child:
                    self._see_off(post, post.child, time.monotonic() - begun_at, hurry=stops.urgent)

    def _see_off(self, post: Post, child: Child, waited: float, *, hurry: bool) -> None:
        if child.ended():
            self._release(post, child)
            post.child = None
        elif hurry or waited > post.program.stop_within.total_seconds():
            self._say(post.program.name, "does not stop: killed")
            child.kill()
            child.await_end()
