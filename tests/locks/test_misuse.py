"""Locks used as they should not be, and errors that come in between: nobody is let in, and nothing stays locked."""

import os

import pytest
from django.db import transaction

from locks import (
    InsideTransaction,
    LockKey,
    LockNamespace,
    LockOrder,
    LockReentered,
    advisory_lock,
    advisory_lock_or_skip,
    asking,
)
from locks.asks import Ask
from locks.dedicated import connections_for
from locks.transactional import take
from tests.locks.actors import advisory_locks as counted

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


def _free():
    with transaction.atomic(), advisory_lock_or_skip(AGENT, 42) as entered:
        return entered


def test_a_skip_object_that_is_used_twice_does_not_end_the_first_block(actor):
    shared, other = advisory_lock_or_skip(AGENT, 42, scope="session"), actor()
    with shared as first:
        assert first
        with pytest.raises(LockReentered), shared:
            pass
        assert other.do(_free) is False


def test_two_threads_that_share_a_skip_object_are_not_both_inside(actor):
    shared, one, other = advisory_lock_or_skip(AGENT, 42, scope="session"), actor(), actor()
    assert one.enter(shared) is True

    def pass_by():
        with pytest.raises(LockReentered), shared:
            pass

    other.do(pass_by)
    assert other.do(_free) is False
    one.leave()


def test_a_transaction_that_was_begun_by_hand_is_one():
    transaction.set_autocommit(False)
    try:
        with pytest.raises(InsideTransaction), advisory_lock(AGENT, 42, scope="session"):
            pass
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def told_to_go(*_, **__):
    raise SystemExit


@pytest.mark.parametrize("name", ["note_wait", "note_hold"])
def test_whatever_is_raised_around_the_block_nothing_stays_locked(monkeypatch, name):
    monkeypatch.setattr(f"locks.fenced.{name}", told_to_go)
    with pytest.raises(SystemExit) as alive, advisory_lock(AGENT, 42, scope="session"):
        pass
    assert alive and counted() == 0
    assert len(connections_for("default")) == len(connections_for("default")._kept)


def test_a_refusal_that_can_not_be_noted_costs_no_place(monkeypatch, actor):
    holder = actor()
    holder.enter(transaction.atomic())
    holder.enter(advisory_lock(AGENT, 42))
    monkeypatch.setattr("locks.translation.note_refusal", told_to_go)
    for _ in range(10):
        with pytest.raises(SystemExit), advisory_lock(AGENT, 42, scope="session", timeout=0.01):
            pass
    assert len(connections_for("default")) == len(connections_for("default")._kept)


def test_a_skipped_block_does_not_end_a_section_that_was_entered_meanwhile_by_the_same_object(actor):
    """The object is the skipped block's until that ends."""
    holder, skipper, other = actor(), actor(), actor()
    holder.enter(transaction.atomic())
    holder.enter(advisory_lock(AGENT, 42))
    shared = advisory_lock_or_skip(AGENT, 42, scope="session")
    assert skipper.enter(shared) is False
    holder.leave()
    with pytest.raises(LockReentered):
        other.enter(shared)
    skipper.leave()
    assert other.enter(shared) is True
    assert _free() is False
    other.leave()


def test_session_locks_taken_the_other_way_round_are_refused_because_the_server_would_not_see_the_circle():
    with advisory_lock(AGENT, 5, scope="session"):
        with pytest.raises(LockOrder, match="AGENT 3 must be taken before AGENT 5"):
            advisory_lock(AGENT, 3, scope="session").__enter__()
        with advisory_lock(AGENT, 6, scope="session"), transaction.atomic():
            with pytest.raises(LockOrder):
                advisory_lock(AGENT, 3).__enter__()
            with advisory_lock_or_skip(AGENT, 3) as entered:
                assert entered


def test_a_statement_of_another_program_that_takes_the_key_inside_is_told_and_does_not_wait_for_itself():
    with advisory_lock(AGENT, 42, scope="session"), pytest.raises(LockReentered), asking(LockKey(AGENT, 42)):
        pytest.fail("asked")


def test_a_forked_child_that_leaves_its_parents_section_takes_nothing_from_it():
    section = advisory_lock(AGENT, 42, scope="session")
    with section as lock:
        child = os.fork()
        if child == 0:
            try:
                section.__exit__(None, None, None)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert not lock.is_lost
        assert _free() is False


def test_leaving_a_section_whose_lock_a_rollback_gave_back_does_not_end_one_that_was_entered_since():
    with transaction.atomic():
        savepoint = transaction.savepoint()
        with advisory_lock(AGENT, 42):
            transaction.savepoint_rollback(savepoint)
            take(Ask((LockKey(AGENT, 42),), 0, "transaction", shared=False, using="default"))
        with pytest.raises(LockReentered):
            advisory_lock(AGENT, 42).__enter__()
