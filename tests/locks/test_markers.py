from hypothesis import given
from hypothesis import strategies as st

from locks import LockKey
from locks.markers import RawLock, read_locks

KEYS = st.integers(-(2**63), 2**63 - 1)
NOW = 1_800_000_000.0


def _row(lock_id, pid=1, granted=True, waited=None):
    unsigned = lock_id % 2**64
    return RawLock(pid, "ExclusiveLock", granted, unsigned >> 32, unsigned % 2**32, 1, NOW, waited)


def _pair(classid, objid, pid=1, mode="ShareLock"):
    return RawLock(pid, mode, True, classid % 2**32, objid % 2**32, 2, NOW, None)


def _marker(key, age, pid=1):
    return _pair(key.namespace << 24 | key.id % 2**24, round((NOW - age) * 100), pid)


@given(st.integers(1, 127), KEYS, st.integers(0, 100_000_000))
def test_a_lock_is_read_with_its_namespace_its_key_and_its_age(namespace, key, hundredths):
    locked = LockKey(namespace, key)
    (seen,) = read_locks([_row(locked.id), _marker(locked, hundredths / 100)])

    assert (seen.namespace, seen.key, seen.wait_seconds) == (namespace, key, None)
    assert seen.held_seconds == hundredths / 100


@given(KEYS)
def test_a_lock_without_a_marker_is_foreign_and_has_its_raw_key(key):
    (seen,) = read_locks([_row(key)])

    assert (seen.namespace, seen.key, seen.held_seconds, seen.is_marked) == (None, key, None, False)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_a_foreign_lock_of_two_numbers_has_both(one, other):
    (seen,) = read_locks([_pair(one, other)])

    assert (seen.namespace, seen.key) == (None, (one, other))


def test_another_sessions_marker_does_not_count():
    key = LockKey(1, 42)
    seen = read_locks([_row(key.id, pid=1), _marker(key, 5, pid=2)])

    assert [lock.namespace for lock in seen] == [None, None]


def test_an_exclusive_lock_in_a_markers_place_is_a_foreign_lock():
    key = LockKey(1, 42)
    exclusive = _pair(key.namespace << 24 | key.id % 2**24, 0, mode="ExclusiveLock")

    assert [lock.is_marked for lock in read_locks([_row(key.id), exclusive])] == [False, False]


def test_who_had_to_wait_is_shown_as_holding_since_the_grant():
    key = LockKey(1, 42)
    (seen,) = read_locks([_row(key.id), _marker(key, 9), _marker(key, 2)])

    assert seen.held_seconds == 2


def test_a_wait_is_as_old_as_the_server_says_and_as_its_marker_before_the_server_says_it():
    key = LockKey(1, 42)

    (said,) = read_locks([_row(key.id, granted=False, waited=3.5), _marker(key, 4)])
    (unsaid,) = read_locks([_row(key.id, granted=False), _marker(key, 4)])
    (foreign,) = read_locks([_row(7, granted=False)])
    assert [lock.wait_seconds for lock in (said, unsaid, foreign)] == [3.5, 4, 0]
    assert said.held_seconds is None


def test_a_foreign_wait_for_a_lock_of_ours_is_shown_with_our_key():
    key = LockKey(2, -42)
    holder, waiter = read_locks([_row(key.id), _marker(key, 1), _row(key.id, pid=2, granted=False, waited=1.0)])

    assert (holder.namespace, holder.key) == (waiter.namespace, waiter.key) == (2, -42)


def test_our_wait_for_a_lock_that_a_stranger_holds_leaves_the_strangers_lock_foreign():
    key = LockKey(2, 42)
    rows = [_row(key.id), _row(key.id, pid=2, granted=False), _marker(key, 1, pid=2)]

    assert [lock.namespace for lock in read_locks(rows)] == [None, 2]


def test_a_clock_that_was_set_back_makes_no_negative_age():
    key = LockKey(1, 42)
    (seen,) = read_locks([_row(key.id), _marker(key, -30)])

    assert seen.held_seconds == 0
