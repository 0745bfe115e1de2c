"""Who waits behind whom, as trees: at each root the session that everybody below it waits for.

Pure: a snapshot in, trees out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from locks.durations import duration
from locks.markers import Tag
from locks.snapshots import Lock, Session, Snapshot


@dataclass(frozen=True, slots=True)
class Node:
    """A session with what it holds, what it waits for, and who waits behind it."""

    session: Session
    holds: tuple[Lock, ...]
    waits_for: Lock | None
    """None at a root, and for who waits for something else than an advisory lock."""
    children: tuple["Node", ...]
    """The longest wait first."""

    @property
    def waiting(self) -> int:
        """How many sessions wait behind this one, at any depth."""
        return sum(1 + child.waiting for child in self.children)

    @property
    def is_idle(self) -> bool:
        """Whether its transaction is open while nothing is being done in it."""
        return self.session.is_idle

    @property
    def in_the_way(self) -> tuple[Lock, ...]:
        """The locks of it that others wait for."""
        return tuple(lock for lock in self.holds if lock.blocks)

    @property
    def since(self) -> str:
        """For how long it has been in the way at most, for a person: since it got what others wait for."""
        known = [lock.seen.held_seconds for lock in self.in_the_way if lock.seen.held_seconds is not None]
        return duration(max(known)) if known else f"at most {duration(self.session.transaction_seconds)}"

    @property
    def longest_wait(self) -> float:
        """Seconds: the longest wait for an advisory lock behind this session, at any depth."""
        waits = [child.waits_for.seen.wait_seconds or 0.0 for child in self.children if child.waits_for]
        return max([*waits, *(child.longest_wait for child in self.children)], default=0.0)

    @property
    def longest(self) -> str:
        """The longest wait behind it, for a person."""
        return duration(self.longest_wait)

    def with_depth(self, depth: int = 0) -> Iterator[tuple[int, "Node"]]:
        """Yield this node and all below it with their depth, in reading order."""
        yield depth, self
        for child in self.children:
            yield from child.with_depth(depth + 1)


def wait_trees(snapshot: Snapshot) -> list[Node]:
    """Return one tree for each session that waits for nobody; the one with most waiters first.

    In a deadlock, which the server ends after a second, everybody waits: then one of the circle stands for the root.
    """
    forest = _Forest(snapshot)
    roots = [pid for pid in snapshot.sessions if pid not in forest.parents]
    trees = [forest.node(pid) for pid in [*roots, *snapshot.sessions] if pid not in forest.placed]
    return sorted(trees, key=lambda node: (-node.waiting, node.session.pid))


class _Forest:
    """The trees while they are built: each session is placed once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.sessions = snapshot.sessions
        self.held: dict[int, list[Lock]] = defaultdict(list)
        self.tags: set[tuple[int, Tag]] = set()
        self.waits: dict[int, Lock] = {}
        for lock in snapshot.locks:
            self._note(lock.seen.raw.pid or 0, lock)
        self.parents = {pid: parent for pid in self.sessions if (parent := self._parent(pid))}
        self.children: dict[int, list[int]] = defaultdict(list)
        for pid, parent in self.parents.items():
            self.children[parent].append(pid)
        self.placed: set[int] = set()

    def node(self, pid: int) -> Node:
        self.placed.add(pid)
        waiters = sorted(self.children[pid], key=lambda waiter: -_seconds(self.waits, waiter))
        children = tuple(self.node(waiter) for waiter in waiters if waiter not in self.placed)
        return Node(self.sessions[pid], tuple(self.held[pid]), self.waits.get(pid), children)

    def _note(self, pid: int, lock: Lock) -> None:
        if lock.seen.raw.granted:
            self.held[pid].append(lock)
            self.tags.add((pid, lock.seen.raw.tag))
        else:
            self.waits[pid] = lock

    def _parent(self, pid: int) -> int | None:
        """Return the session that is in the way: who holds what is waited for, not who is ahead in the queue."""
        in_the_way = [other for other in self.sessions[pid].blocked_by if other in self.sessions]
        wanted = self.waits[pid].seen.raw.tag if pid in self.waits else None
        holders = [other for other in in_the_way if (other, wanted) in self.tags]
        return next(iter(holders or in_the_way), None)


def _seconds(waits: Mapping[int, Lock], pid: int) -> float:
    return waits[pid].seen.wait_seconds or 0.0 if pid in waits else 0.0
