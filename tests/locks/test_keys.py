import pytest
from hypothesis import given
from hypothesis import strategies as st

from locks import LockKey, LockNamespace, lock_key_from_string

KEYS = st.integers(-(2**63), 2**63 - 1)
NAMESPACES = st.integers(1, 127)


@given(NAMESPACES, KEYS)
def test_an_id_is_a_bigint_and_turns_back_into_its_key(namespace, key):
    lock_id = LockKey(namespace, key).id

    assert -(2**63) <= lock_id < 2**63
    assert LockKey.from_id(namespace, lock_id) == LockKey(namespace, key)


@given(KEYS, st.sampled_from([(a, b) for a in LockNamespace for b in LockNamespace if a != b]))
def test_one_key_in_two_namespaces_is_two_locks(key, namespaces):
    one, other = namespaces

    assert LockKey(one, key).id != LockKey(other, key).id


def test_small_keys_of_all_our_namespaces_never_meet():
    ids = {LockKey(namespace, key).id for namespace in LockNamespace for key in range(-5_000, 5_000)}

    assert len(ids) == len(LockNamespace) * 10_000


def test_a_text_has_the_same_key_on_every_host():
    # As coreutils say it: printf "session 42" | b2sum -l 64
    assert lock_key_from_string("session 42") == 4460590411776404473
    assert lock_key_from_string("") == -1970711489451281740
    assert LockKey(LockNamespace.SESSION, "session 42").key == lock_key_from_string("session 42")


def test_a_text_that_is_no_unicode_has_a_key_too():
    assert isinstance(lock_key_from_string("\ud800\x00"), int)


@pytest.mark.parametrize("key", [True, 1.0, None, b"x", ["x"]])
def test_a_key_of_another_type_is_refused(key):
    with pytest.raises(TypeError, match="a lock's key is a whole number"):
        LockKey(1, key)


@pytest.mark.parametrize("key", [2**63, -(2**63) - 1])
def test_a_key_beyond_64_bits_is_refused(key):
    with pytest.raises(ValueError, match="a lock's key lies from"):
        LockKey(1, key)


@pytest.mark.parametrize(
    ("namespace", "error"), [(0, ValueError), (128, ValueError), (-1, ValueError), (True, TypeError)]
)
def test_a_namespace_that_cannot_be_is_refused(namespace, error):
    with pytest.raises(error, match="a lock's namespace"):
        LockKey(namespace, 1)


def test_keys_sort_into_the_order_in_which_they_are_taken():
    agent, other = LockKey(LockNamespace.AGENT, 9), LockKey(LockNamespace.AGENT, -1)
    session, cycle = LockKey(LockNamespace.SESSION, 5), LockKey(LockNamespace.CYCLE, 7)

    assert sorted([agent, other, session, cycle]) == [cycle, session, other, agent]


def test_a_key_cannot_be_changed_and_says_what_it_is():
    key = LockKey(LockNamespace.AGENT, 42)

    with pytest.raises(AttributeError):
        key.key = 43
    assert str(key) == "AGENT 42"
    assert str(LockKey(99, 1)) == "99 1"
