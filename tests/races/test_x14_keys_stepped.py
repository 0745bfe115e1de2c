"""X14, in every order: who holds one key never waits for who holds another one, however alike the two are."""

import pytest
from django.db import transaction

from locks import LockNamespace, advisory_lock, keys
from locks.testing import Scene, explore, step
from tests.races.mutants import replaced
from tests.races.test_x14_keys_of_all_sizes import PAIRS

pytestmark = pytest.mark.django_db(transaction=True)
AGENT, SESSION = LockNamespace.AGENT, LockNamespace.SESSION


def met(one, other):
    """Return in how many orders the holders of two keys met, and how many orders there are."""

    def hold(key):
        step("begin")
        with transaction.atomic(), advisory_lock(*key):
            step("inside")

    found = explore(lambda: Scene({"one": lambda: hold(one), "other": lambda: hold(other)}), lambda outcome: None)
    return found.met, found.runs


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_keys_of_one_namespace_never_meet(one, other):
    assert met((AGENT, one), (AGENT, other)) == (0, 6)


@pytest.mark.parametrize("key", [0, 7, -7, 2**40, -(2**63), 2**63 - 1, "text"])
def test_one_key_of_two_namespaces_never_meets_itself(key):
    assert met((AGENT, key), (SESSION, key)) == (0, 6)


@pytest.mark.parametrize("key", [0, 7, -7, 2**40, -(2**63), 2**63 - 1, "text"])
def test_one_key_always_meets_itself_where_they_overlap(key):
    meetings, orders = met((AGENT, key), (AGENT, key))
    assert 0 < meetings < orders


def as_two_integers(namespace, key):
    """The mutant: (namespace, key) in PostgreSQL's two 32-bit numbers."""
    return namespace << 32 | (key & 0xFFFFFFFF)


def test_mutant_with_32_bit_keys_two_keys_meet():
    with replaced(keys, "_mixed", as_two_integers):
        assert met((AGENT, 1), (AGENT, 2**32 + 1))[0] > 0


def test_mutant_without_namespaces_in_the_number_two_keys_meet():
    with replaced(keys, "_mixed", lambda namespace, key: key):
        assert met((AGENT, 7), (SESSION, 7))[0] > 0
