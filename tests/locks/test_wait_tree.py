import time

import pytest

from locks import LockKey
from locks.durations import duration
from locks.markers import RawLock, SeenLock
from locks.snapshots import Lock, Session, Snapshot
from locks.wait_tree import wait_trees


def _session(pid, *blocked_by, state="active"):
    return Session(pid, f"lock: s{pid} #c{pid}", state, "127.0.0.1:1", 0.0, False, blocked_by)


def _lock(sessions, pid, key, waited=None):
    locked = LockKey(1, key)
    raw = RawLock(pid, "ExclusiveLock", waited is None, 0, key, 1, 0.0, waited)
    seen = SeenLock(raw, 1, locked.key, 1.0 if waited is None else None, waited, True)
    waiting = [other.pid for other in sessions.values() if pid in other.blocked_by]
    return Lock(seen, sessions[pid], blocks=tuple(waiting) if waited is None else ())


def _snapshot(sessions, *locks):
    known = {session.pid: session for session in sessions}
    return Snapshot(tuple(_lock(known, *lock) for lock in locks), known)


def _shape(node):
    return {node.session.pid: [_shape(child) for child in node.children]}


def test_without_waiters_each_holder_is_a_tree_of_its_own():
    trees = wait_trees(_snapshot([_session(1), _session(2)], (1, 10), (2, 20)))

    assert [_shape(tree) for tree in trees] == [{1: []}, {2: []}]
    assert [tree.waiting for tree in trees] == [0, 0]


def test_the_queue_of_one_lock_stands_below_its_holder_the_longest_wait_first():
    sessions = [_session(1), _session(2, 1), _session(3, 1, 2)]
    (tree,) = wait_trees(_snapshot(sessions, (1, 10), (2, 10, 1.0), (3, 10, 5.0)))

    assert _shape(tree) == {1: [{3: []}, {2: []}]}
    assert tree.waiting == 2


def test_a_chain_leads_to_the_root_that_all_wait_for():
    sessions = [_session(3, 2), _session(2, 1), _session(1, state="idle in transaction")]
    (tree,) = wait_trees(_snapshot(sessions, (1, 10), (2, 10, 9.0), (2, 20), (3, 20, 2.0)))

    assert _shape(tree) == {1: [{2: [{3: []}]}]}
    assert [(depth, node.session.pid) for depth, node in tree.with_depth()] == [(0, 1), (1, 2), (2, 3)]
    assert tree.is_idle
    middle = tree.children[0]
    assert (middle.waits_for.seen.key, [lock.seen.key for lock in middle.holds]) == (10, [20])


def test_a_root_without_any_advisory_lock_is_shown():
    (tree,) = wait_trees(_snapshot([_session(1), _session(2, 1)], (2, 10)))

    assert _shape(tree) == {1: [{2: []}]}
    assert tree.holds == ()
    assert tree.children[0].waits_for is None


def test_a_root_is_in_the_way_for_as_long_as_it_has_had_what_others_want():
    sessions = [_session(1), _session(2, 1), _session(3, 2)]
    (tree,) = wait_trees(_snapshot(sessions, (1, 10), (2, 10, 65.0), (2, 20), (3, 20, 80.0)))

    assert ([lock.seen.key for lock in tree.in_the_way], tree.since) == ([10], "1.00 s")
    assert (tree.longest_wait, tree.longest) == (80.0, "1 min 20 s")


def test_a_root_that_holds_no_advisory_lock_is_in_the_way_no_longer_than_its_transaction():
    (tree,) = wait_trees(_snapshot([_session(1), _session(2, 1)], (2, 10, 3.0)))

    assert (tree.in_the_way, tree.since) == ((), "at most 0.00 s")


def test_a_hundred_waiters_behind_a_holder_of_thousands_are_placed_at_once():
    sessions = [_session(1), *[_session(pid, *range(1, pid)) for pid in range(2, 102)]]
    held = [(1, key) for key in range(10, 2010)]
    known = {session.pid: session for session in sessions}
    locks = [_lock({1: known[1]}, *one) for one in held] + [_lock(known, pid, 10, 1.0) for pid in range(2, 102)]
    started = time.monotonic()
    (tree,) = wait_trees(Snapshot(tuple(locks), known))

    assert tree.waiting == 100
    # Milliseconds; looking through all that is held for each who waits takes seconds.
    assert time.monotonic() - started < 1


def test_the_tree_with_most_waiters_comes_first():
    sessions = [_session(1), _session(2), _session(3, 2), _session(4)]
    trees = wait_trees(_snapshot(sessions, (1, 10), (2, 20), (3, 20, 1.0), (4, 40)))

    assert [tree.session.pid for tree in trees] == [2, 1, 4]


def test_a_circle_is_shown_once():
    sessions = [_session(1, 2), _session(2, 1), _session(3, 2)]
    trees = wait_trees(_snapshot(sessions, (1, 10), (2, 20), (1, 20, 1.0), (2, 10, 1.0), (3, 20, 2.0)))

    assert [_shape(tree) for tree in trees] == [{1: [{2: [{3: []}]}]}]


def test_a_blocker_that_is_gone_leaves_its_waiter_as_a_root():
    (tree,) = wait_trees(_snapshot([_session(2, 99)], (2, 10, 1.0)))

    assert _shape(tree) == {2: []}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.014, "0.01 s"), (59.2, "59.20 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_a_duration_is_said_in_its_largest_units(seconds, words):
    assert duration(seconds) == words
