"""The test kit: a key that somebody else holds, a connection that is lost, and tests that leave no lock behind."""

import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from locks import LockKey, LockLost, LockNamespace, LockTimeout, advisory_lock, advisory_lock_or_skip
from locks.monitor import snapshot
from locks.testing import assert_no_locks_left, held_elsewhere, leaks, locks_left, lose_connection
from locks.testing.facts import until, watcher
from locks.testing.fixtures import no_locks_left
from tests.locks.actors import advisory_locks, ask

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT
SCOPES = ["transaction", "session"]


def is_free(key, **options):
    """Say whether somebody who comes now would get the key."""
    with transaction.atomic(), advisory_lock_or_skip(AGENT, key, **options) as acquired:
        return acquired


# -- held elsewhere -----------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("key", [7, "a name", -(2**63)])
def test_the_key_is_held_for_as_long_as_the_block_takes(scope, key):
    with held_elsewhere(AGENT, key, scope):
        assert not is_free(key)
        assert is_free(8)
    assert is_free(key)
    assert advisory_locks() == 0


@pytest.mark.parametrize("scope", SCOPES)
def test_what_is_held_shared_lets_those_in_who_share(scope):
    with held_elsewhere(AGENT, 7, scope, shared=True):
        assert not is_free(7)
        assert is_free(7, shared=True)


@pytest.mark.parametrize("scope", SCOPES)
def test_the_holder_is_shown_like_any_other(scope):
    with held_elsewhere(AGENT, 7, scope):
        (lock,) = snapshot().as_json()["locks"]
        assert (lock["namespace"], lock["key"], lock["scope"]) == ("AGENT", 7, scope)
        assert lock["pid"] != ask("SELECT pg_backend_pid()")
        with watcher() as eyes:
            assert eyes.holding(LockKey(AGENT, 7)) == {lock["pid"]}
            assert eyes.holding(LockKey(AGENT, 8)) == set()
        with pytest.raises(LockTimeout) as refused, transaction.atomic(), advisory_lock(AGENT, 7, timeout=0):
            pass
        assert [holder.pid for holder in refused.value.holders] == [lock["pid"]]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_that_is_not_free_cannot_be_held_elsewhere(scope):
    with transaction.atomic(), advisory_lock(AGENT, 7), pytest.raises(LockTimeout), held_elsewhere(AGENT, 7, scope):
        pytest.fail("it was entered")
    assert advisory_locks() == 0


@pytest.mark.parametrize("scope", SCOPES)
def test_the_blocks_own_error_comes_out_and_the_key_is_free(scope):
    with pytest.raises(ZeroDivisionError), held_elsewhere(AGENT, 7, scope):
        _ = 1 / 0
    assert is_free(7)


def test_a_holder_whose_connection_was_lost_says_so():
    with pytest.raises((LockLost, DatabaseError)), held_elsewhere(AGENT, 7), watcher() as eyes:
        eyes.end(eyes.holding(LockKey(AGENT, 7)))


# -- a lost connection --------------------------------------------------------


def test_the_connection_of_this_thread_can_be_lost():
    pid = ask("SELECT pg_backend_pid()")
    with pytest.raises((OperationalError, InterfaceError)), transaction.atomic(), advisory_lock(AGENT, 7):
        lose_connection()
        assert is_gone(pid)
        ask("SELECT 1")
    connection.close()
    assert is_free(7)


def is_gone(pid):
    with watcher() as eyes:
        return not eyes.there([pid])


def test_a_held_session_lock_can_be_lost():
    with pytest.raises(LockLost), advisory_lock(AGENT, 7, scope="session") as lock:
        assert not lock.is_lost
        lose_connection(lock)
        assert until(lambda: lock.is_lost, "the loss")
        with watcher() as eyes:
            assert eyes.holding(lock.key) == set()
    assert is_free(7)


def test_without_a_connection_there_is_none_to_lose():
    connection.close()
    with pytest.raises(ValueError, match="no connection"):
        lose_connection()


# -- leaks --------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(leaks, "_WITHIN", 0.05)


@contextmanager
def leaking():
    with pytest.raises(AssertionError, match=r"still held or waited for: .*lock: "):
        yield


@pytest.mark.parametrize("scope", SCOPES)
def test_a_lock_that_is_left_is_told_with_its_holder(scope, impatient):
    assert_no_locks_left()
    with held_elsewhere(AGENT, 7, scope):
        pid = ask("SELECT pid FROM pg_locks WHERE locktype = 'advisory' LIMIT 1")
        assert any(who.startswith(f"{pid} (lock: ") for who in locks_left())
        with leaking():
            assert_no_locks_left()
    assert_no_locks_left()


def test_a_lock_that_was_not_taken_through_us_is_a_leak_too(impatient):
    with watcher() as eyes:
        eyes.ask("SELECT pg_advisory_lock_shared(1, 2) IS NULL")
        with pytest.raises(AssertionError, match="still held"):
            assert_no_locks_left()


def test_what_the_tests_own_transaction_holds_is_no_leak_but_its_section_is(impatient):
    with transaction.atomic():
        with advisory_lock(AGENT, 7), pytest.raises(AssertionError, match="sections are still open: AGENT 7"):
            assert_no_locks_left()
        assert advisory_locks() > 0
        assert_no_locks_left()
        with held_elsewhere(AGENT, 8), leaking():
            assert_no_locks_left()


def test_a_broken_transaction_hides_no_leak(impatient):
    with pytest.raises(DatabaseError), transaction.atomic():
        with pytest.raises(DatabaseError):
            ask("SELECT nonsense")
        assert_no_locks_left()
        with held_elsewhere(AGENT, 8), leaking():
            assert_no_locks_left()
        ask("SELECT 1")


def test_a_lost_connection_hides_no_leak(impatient):
    ask("SELECT 1")
    lose_connection()
    with held_elsewhere(AGENT, 8), leaking():
        assert_no_locks_left()
    connection.close()


@pytest.mark.parametrize(("marker", "names"), [("django_db", ()), (None, ("transactional_db",)), (None, ("db",))])
def test_the_fixture_looks_after_a_test_with_a_database(impatient, django_db_blocker, marker, names):
    with held_elsewhere(AGENT, 7), leaking():
        run_fixture(django_db_blocker, marker, names)


def test_the_fixture_leaves_a_test_without_a_database_alone(impatient, django_db_blocker):
    with held_elsewhere(AGENT, 7):
        run_fixture(django_db_blocker, None, ())


def run_fixture(blocker, marker, names):
    node = SimpleNamespace(get_closest_marker=lambda name: marker if name == marker else None)
    for _ in no_locks_left.__wrapped__(SimpleNamespace(node=node, fixturenames=names), blocker):
        pass


def test_the_kit_needs_no_pytest_but_for_its_fixtures():
    asked = "import sys, locks.testing; print('pytest' in sys.modules); import locks.testing.fixtures"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
