"""All interleavings of a few sessions: an isolation tester for code that shares rows and locks.

A session is a function; it runs as it is, in a thread and on connections of its own. The scene cuts it into steps: it
stops before every statement that begins with one of ``stops`` (``COMMIT`` and ``ROLLBACK`` are some too), and where it
calls ``step("name")``. ``explore`` makes the scene anew for each order in which the steps can follow each other, lets
them follow each other so, and then checks what must hold. Here two withdrawals read the same balance:

    >>> def withdraw():
    ...     with transaction.atomic():
    ...         account = Account.objects.get()
    ...         account.balance -= 1
    ...         account.save()
    >>> def scene():
    ...     Account.objects.update(balance=2)
    ...     return Scene({"one": withdraw, "other": withdraw}, stops=("SELECT", "UPDATE"))
    >>> def check(outcome):
    ...     assert Account.objects.get().balance == 0, "one withdrawal is lost"
    >>> explore(scene, check)
    Traceback (most recent call last):
    locks.testing.interleavings.ScheduleFailed: one withdrawal is lost
    ...

With ``advisory_lock`` around the three lines, ``explore`` returns how many orders there were. Needs a test that commits
(``django_db(transaction=True)``), and PostgreSQL's word for who is blocked.

- What comes before a session's first stop runs at the beginning, one session after the other.
- A session that waits for a lock is passed over until another one's step has ended its wait. It then stops once more,
  behind the statement that waited. Waits inside one process (a queue, an event) are unknown to the server: take them
  out of the scene; and let nobody else wait for a lock of this database meanwhile.
- Time stands still: a patience that runs out is no step. Where all that have not ended wait for a lock, the exploration
  fails at once as a deadlock, before the server would end it.
- Every failure tells the schedule; ``replay`` runs it alone.
"""

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from locks.testing.actors import Actor
from locks.testing.facts import WITHIN, Watcher, watcher

_LOOK_AFTER = 0.001
# What it takes to be given up: a statement that waits is ended by the server, and then the thread unwinds.
_UNWOUND_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Who acts, and where they stop."""

    sessions: Mapping[str, Callable[[], Any]]
    stops: Sequence[str] = ()
    """How the statements begin that are steps."""
    raises: tuple[type[BaseException], ...] = ()
    """The errors that a session may end with; any other one fails the run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that came to its end."""

    schedule: tuple[str, ...]
    """The steps in their order, each as "session: step"."""
    results: Mapping[str, Any]
    """What each session returned, or the error that it raised."""
    has_met: bool
    """Whether a session had to wait for another one."""


@dataclass(frozen=True, slots=True)
class Explored:
    """An exploration in which everything held."""

    runs: int
    """How many orders there are; each was run."""
    met: int
    """In how many of them a session had to wait for another one."""


Check = Callable[[Outcome], Any]


class ScheduleFailed(AssertionError):
    """What must hold does not after this schedule, or a session raised what it must not."""

    def __init__(self, reason: str, schedule: Sequence[str]) -> None:
        self.schedule = list(schedule)
        lines = "\n".join(f"    {line!r}," for line in schedule)
        super().__init__(f"{reason}\nThe schedule, for replay(make_scene, schedule, check):\n[\n{lines}\n]")


class Deadlock(ScheduleFailed):
    """All sessions that have not ended wait for a lock."""


class Unrepeatable(ScheduleFailed):
    """The same steps led elsewhere than before: the scene depends on more than its steps."""


class TooManyRuns(ScheduleFailed):
    """There are more orders than ``most``; take fewer stops."""


def explore(
    make_scene: Callable[[], Scene], check: Check, *, most: int = 1000, using: str = DEFAULT_DB_ALIAS
) -> Explored:
    """Run every order of the scene's steps and check each outcome. ``make_scene`` sets everything back first.
    ``using``: the database in which they meet.

    Raises ScheduleFailed at the first order that fails, Deadlock, Unrepeatable, and TooManyRuns beyond ``most``.
    """
    branches: list[_Branch] = []
    runs = met = 0
    with watcher(using) as eyes:
        while runs == 0 or _turn(branches):
            if runs == most:
                raise TooManyRuns(f"there are more than {most} orders", [branch.step for branch in branches])
            met += _checked(_Run(make_scene(), eyes), check, branches).has_met
            runs += 1
    return Explored(runs, met)


def replay(
    make_scene: Callable[[], Scene],
    schedule: Sequence[str],
    check: Check = lambda outcome: None,
    *,
    using: str = DEFAULT_DB_ALIAS,
) -> Outcome:
    """Run one schedule, as a failure tells it; where it ends early, the first session that can goes on.

    Raises as ``explore`` does; Unrepeatable where a step of the schedule cannot be taken.
    """
    with watcher(using) as eyes:
        return _checked(_Run(make_scene(), eyes), check, [_Branch([step], is_given=True) for step in schedule])


@dataclass(slots=True)
class _Branch:
    """A moment in which there was a choice."""

    steps: list[str]
    """The steps that could be taken; the ones before ``taken`` were explored."""
    taken: int = 0
    is_given: bool = False
    """Whether the steps are those of a schedule: what else could be taken is not known."""

    @property
    def step(self) -> str:
        return self.steps[self.taken]

    def leads_on(self, choices: list[str]) -> bool:
        """Whether this is the moment in which these can be chosen."""
        return self.step in choices if self.is_given else self.steps == choices


def _turn(branches: list[_Branch]) -> bool:
    """Take the last turning that was not taken yet; return whether there was one. Depth first."""
    while branches and branches[-1].taken + 1 == len(branches[-1].steps):
        branches.pop()
    if branches:
        branches[-1].taken += 1
    return bool(branches)


def _checked(run: "_Run", check: Check, branches: list[_Branch]) -> Outcome:
    outcome = run.follow(branches)
    for name, result in outcome.results.items():
        if isinstance(result, BaseException) and not isinstance(result, run.scene.raises):
            raise ScheduleFailed(f"{name} raised {result!r}", outcome.schedule) from result
    try:
        check(outcome)
    except Exception as error:
        raise ScheduleFailed(str(error) or _broken_line(error), outcome.schedule) from error
    return outcome


def _broken_line(error: Exception) -> str:
    """Return what an error without words was raised by."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {place.name}: {place.line}"


@dataclass(slots=True)
class _Run:
    """A scene while it is played."""

    scene: Scene
    eyes: Watcher
    moved: threading.Condition = field(default_factory=threading.Condition)
    actors: list[Actor] = field(default_factory=list)
    schedule: list[str] = field(default_factory=list)
    has_met: bool = False

    def follow(self, branches: list[_Branch]) -> Outcome:
        """Take the turnings that ``branches`` name, then always the first; note the new ones there."""
        try:
            self._begin()
            while choices := self._choices():
                if len(self.schedule) == len(branches):
                    branches.append(_Branch(list(choices)))
                self._take(branches[len(self.schedule)], choices)
            return self._outcome(branches)
        finally:
            self._abandon()

    def _begin(self) -> None:
        for name, act in self.scene.sessions.items():
            self.actors.append(Actor(name, act, self.scene.stops, self.moved))
            self.actors[-1].start()
            self._settle()

    def _choices(self) -> dict[str, Actor]:
        return {f"{actor.name}: {actor.at}": actor for actor in self.actors if actor.at is not None}

    def _take(self, branch: _Branch, choices: dict[str, Actor]) -> None:
        if not branch.leads_on(list(choices)):
            raise Unrepeatable(f"one of {branch.steps} was to be next, not of {list(choices)}", self.schedule)
        self.schedule.append(branch.step)
        choices[branch.step].go_on()
        self._settle()

    def _settle(self) -> None:
        """Wait until each session stands, is done, or waits for a lock, as the server says."""
        give_up_at = time.monotonic() + WITHIN
        while not self._has_settled_soon():
            if time.monotonic() > give_up_at:
                lost = [f"{actor.name} is at\n{actor.whereabouts()}" for actor in self.actors if actor.is_under_way]
                raise ScheduleFailed("\n".join([f"nothing happens within {WITHIN:g} s", *lost]), self.schedule)

    def _has_settled_soon(self) -> bool:
        """One thread waits for one lock at most, on whatever connection: so it is enough to count who waits."""
        with self.moved:
            self.moved.wait_for(lambda: not self._under_way(), _LOOK_AFTER)
        under_way = self._under_way()
        if under_way and (len(self.eyes.blocked()) != len(under_way) or self._under_way() != under_way):
            return False
        for actor in under_way:
            actor.is_waiting = self.has_met = True
        return not self._dying()

    def _under_way(self) -> list[Actor]:
        return [actor for actor in self.actors if actor.is_under_way]

    def _dying(self) -> bool:
        """Whether a session is done whose backend is still there, and with it perhaps its locks."""
        for actor in self.actors:
            if actor.is_done and actor.backends:
                actor.backends = self.eyes.there(actor.backends)
        return any(actor.is_done and actor.backends for actor in self.actors)

    def _outcome(self, branches: list[_Branch]) -> Outcome:
        if waiting := [actor.name for actor in self._under_way()]:
            raise Deadlock(f"deadlock: {' and '.join(waiting)} wait, and nobody can go on", self.schedule)
        if len(self.schedule) < len(branches):
            raise Unrepeatable(f"{branches[len(self.schedule)].step!r} was to be next, not the end", self.schedule)
        results = {actor.name: actor.result for actor in self.actors}
        return Outcome(tuple(self.schedule), results, self.has_met)

    def _abandon(self) -> None:
        """Leave nobody behind, whatever went wrong."""
        left = [actor for actor in self.actors if not actor.is_done]
        for actor in left:
            actor.abandon()
        give_up_at = time.monotonic() + _UNWOUND_WITHIN
        while any(not actor.is_done for actor in left) and time.monotonic() < give_up_at:
            self.eyes.end(self.eyes.blocked())
            left[0].join(_LOOK_AFTER)
