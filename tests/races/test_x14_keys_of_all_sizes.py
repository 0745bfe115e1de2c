"""X14: keys beyond 31 bits, negative ones, equal ones of two namespaces: locks of their own, shown as they are."""

import pytest
from django.db import DataError, transaction

from locks import LockKey, LockNamespace, advisory_lock, advisory_lock_or_skip
from locks.monitor import snapshot
from tests.locks.conftest import actor  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
AGENT, SESSION = LockNamespace.AGENT, LockNamespace.SESSION
# Pairs that are equal in their lower 32 bits, in their lower 31, or but for the sign.
PAIRS = [(1, 2**32 + 1), (1, 2**31 + 1), (1, -1), (-1, 2**32 - 1), (2**63 - 1, -1), (-(2**63), 0), ("a", "b")]


def _both_are_had_at_once(actor, one, other):  # noqa: F811
    holder = actor()
    holder.enter(transaction.atomic())
    holder.enter(advisory_lock(*one))
    with transaction.atomic():
        with advisory_lock_or_skip(*one) as acquired:
            assert not acquired, "one key is no lock"
        with advisory_lock_or_skip(*other) as acquired:
            assert acquired, "two keys are one lock"


def _it_is_shown_as_it_was_taken(key):
    with transaction.atomic(), advisory_lock(AGENT, key):
        shown = [(lock["namespace"], lock["key"]) for lock in snapshot().as_json()["locks"]]
    assert shown == [("AGENT", key)], "shown as another"


def _as_two_integers(namespace, key):
    """The mutant: (namespace, key) in PostgreSQL's two 32-bit numbers."""
    number = (namespace << 32) | (key & 0xFFFFFFFF)
    return number - 2**64 if number >= 2**63 else number


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_keys_of_one_namespace_are_two_locks(actor, one, other):  # noqa: F811
    _both_are_had_at_once(actor, (AGENT, one), (AGENT, other))


@pytest.mark.parametrize("key", [0, 7, -7, 2**40, -(2**63), 2**63 - 1, "text"])
def test_one_key_of_two_namespaces_is_two_locks(actor, key):  # noqa: F811
    _both_are_had_at_once(actor, (AGENT, key), (SESSION, key))


@pytest.mark.parametrize("key", [0, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_a_key_is_shown_as_it_was_taken(key):
    _it_is_shown_as_it_was_taken(key)


@pytest.mark.parametrize(
    ("key", "error"), [(2**63, ValueError), (-(2**63) - 1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_what_is_no_key_is_refused_by_its_type_or_size(key, error):
    with transaction.atomic(), pytest.raises(error):
        advisory_lock(AGENT, key)


def test_mutant_with_32_bit_keys_two_keys_are_one_lock(actor, monkeypatch):  # noqa: F811
    monkeypatch.setattr("locks.keys._mixed", _as_two_integers)

    with pytest.raises(AssertionError, match="two keys are one lock"):
        _both_are_had_at_once(actor, (AGENT, 1), (AGENT, 2**32 + 1))


def test_mutant_without_namespaces_in_the_number_two_keys_are_one_lock(actor, monkeypatch):  # noqa: F811
    monkeypatch.setattr("locks.keys._mixed", lambda namespace, key: key)

    with pytest.raises(AssertionError, match="two keys are one lock"):
        _both_are_had_at_once(actor, (AGENT, 7), (SESSION, 7))


def test_mutant_that_reads_the_servers_numbers_without_their_sign_shows_another_key(monkeypatch):
    monkeypatch.setattr("locks.markers._HALF", 0)
    # One of the two has a negative number in the server.
    assert LockKey(AGENT, 7).id * LockKey(AGENT, -7).id < 0

    # The number is no key any more, or it is another one's.
    with pytest.raises((AssertionError, DataError)):
        for key in (7, -7):
            _it_is_shown_as_it_was_taken(key)
