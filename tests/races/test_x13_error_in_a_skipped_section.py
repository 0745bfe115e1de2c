"""X13: what the body of a section raises is the caller's error, whether the section was entered or skipped."""

from contextlib import contextmanager

import pytest
from django.db import transaction

import locks
from locks import LockNamespace, LockReentered, LockTimeout, RowBusy, advisory_lock, advisory_lock_or_skip
from tests.locks.actors import ask
from tests.locks.conftest import actor  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT
ERRORS = [ValueError, LockTimeout, LockReentered, RowBusy, StopIteration, KeyboardInterrupt]


@contextmanager
def _naive(namespace, key):
    """The mutant: the refusal is caught around the body as well."""
    try:
        with advisory_lock(namespace, key, timeout=0):
            yield True
    except Exception:
        yield False


@contextmanager
def _yielding_nothing(namespace, key):
    """The other mutant: what is skipped is not run."""
    with advisory_lock_or_skip(namespace, key) as acquired:
        if acquired:
            yield True


def _the_bodys_error_comes_out(error, expected):
    with transaction.atomic():
        caught = None
        try:
            with locks.advisory_lock_or_skip(AGENT, 42) as acquired:
                assert acquired is expected
                raise error
        except BaseException as raised:
            caught = raised
        assert caught is error, f"{caught!r} came out"
        assert ask("SELECT 1") == 1


def _holder(actor):  # noqa: F811
    holder = actor()
    holder.enter(transaction.atomic())
    holder.enter(advisory_lock(AGENT, 42))


@pytest.mark.parametrize("kind", ERRORS)
def test_the_error_of_a_skipped_body_is_the_callers(actor, kind):  # noqa: F811
    _holder(actor)
    _the_bodys_error_comes_out(kind("from the body"), expected=False)


@pytest.mark.parametrize("kind", ERRORS)
def test_the_error_of_an_entered_body_is_the_callers(kind):
    _the_bodys_error_comes_out(kind("from the body"), expected=True)


def test_mutant_that_catches_around_the_body_turns_its_error_into_a_generators(monkeypatch):
    monkeypatch.setattr(locks, "advisory_lock_or_skip", _naive)

    with pytest.raises(AssertionError, match="generator didn't stop after throw"):
        _the_bodys_error_comes_out(ValueError("from the body"), expected=True)


def test_mutant_that_yields_nothing_when_skipping_raises_a_generators_error(actor, monkeypatch):  # noqa: F811
    _holder(actor)
    monkeypatch.setattr(locks, "advisory_lock_or_skip", _yielding_nothing)

    with pytest.raises(AssertionError, match="generator didn't yield"):
        _the_bodys_error_comes_out(ValueError("from the body"), expected=False)
