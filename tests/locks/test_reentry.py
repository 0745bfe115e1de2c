"""Re-entry is noticed on the connection, whoever shares it; each test has the mutant that does not notice."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections, transaction

from locks import LockingQuerySet, LockNamespace, LockReentered, LockTimeout, advisory_lock, advisory_lock_or_skip
from locks.asks import Ask
from locks.keys import LockKey
from locks.sections import Sections, sections_of
from locks.transactional import take as take_asked
from tests.locks.actors import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


@pytest.fixture
def forgetful(monkeypatch):
    """The mutant: the register belongs to whoever asks, and not to the connection."""
    monkeypatch.setattr("locks.transactional.sections_of", lambda connection: Sections())


def take(key):
    take_asked(Ask((key,), 15_000, "transaction", shared=False, using="default"))


def _enter_and_leave():
    with advisory_lock(AGENT, 42):
        pass


def _skip():
    with advisory_lock_or_skip(AGENT, 42) as acquired:
        return acquired


def test_a_key_is_not_entered_twice():
    with transaction.atomic(), advisory_lock(AGENT, 42):
        with pytest.raises(LockReentered, match="AGENT 42"):
            _enter_and_leave()
        assert _skip() is False
        with advisory_lock(AGENT, 43):
            pass


def test_a_refused_re_entry_leaves_the_section_open_and_the_transaction_usable():
    with transaction.atomic(), advisory_lock(AGENT, 42) as held:
        for _ in range(2):
            with pytest.raises(LockReentered):
                _enter_and_leave()
            assert _skip() is False
        held.verify()


def test_after_its_block_a_key_may_be_entered_again_in_the_same_transaction():
    with transaction.atomic():
        _enter_and_leave()
        _enter_and_leave()
        assert _skip() is True


def test_the_next_transaction_starts_with_nothing_entered():
    with transaction.atomic():
        take(LockKey(AGENT, 42))
    with transaction.atomic():
        take(LockKey(AGENT, 42))


def test_a_key_that_others_took_by_sql_in_the_next_transaction_may_be_entered():
    with transaction.atomic():
        take(LockKey(AGENT, 42))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT locks_take(%s::bigint, 1, 0, '')", [str(LockKey(AGENT, 42).id)])
        take(LockKey(AGENT, 42))


def test_without_a_block_a_key_is_entered_until_the_innermost_atomic_block_ends():
    with transaction.atomic():
        with transaction.atomic():
            take(LockKey(AGENT, 42))
            with transaction.atomic(), pytest.raises(LockReentered):
                take(LockKey(AGENT, 42))
        _enter_and_leave()
        take(LockKey(AGENT, 42))
        with pytest.raises(LockReentered):
            take(LockKey(AGENT, 42))


def test_a_section_that_was_never_left_does_not_outlive_its_transaction():
    with transaction.atomic():
        advisory_lock(AGENT, 42).__enter__()
    with transaction.atomic():
        _enter_and_leave()


def test_the_register_does_not_grow():
    for key in range(20):
        with transaction.atomic():
            take(LockKey(AGENT, key))
    assert len(sections_of(connections["default"])._entered) == 1


def _other_thread_is_kept_out():
    connection.inc_thread_sharing()
    shared = connections["default"]

    def share():
        connections["default"] = shared
        try:
            refused = _skip() is False
            _enter_and_leave()
        except LockReentered:
            return refused
        finally:
            del connections["default"]

    try:
        with transaction.atomic(), advisory_lock(AGENT, 42), ThreadPoolExecutor(1) as thread:
            assert thread.submit(share).result(PATIENCE), "the other thread was let in"
    finally:
        connection.dec_thread_sharing()


def test_another_thread_that_shares_the_connection_is_kept_out():
    _other_thread_is_kept_out()


def test_mutant_with_a_register_per_thread_the_other_thread_gets_in(forgetful):
    with pytest.raises(AssertionError, match="the other thread was let in"):
        _other_thread_is_kept_out()


def _helper_with_a_connection_of_its_own_is_kept_out():
    """Its starter waits for it, so waiting for the key would never end well."""

    def help_out():
        try:
            with transaction.atomic():
                refused = _skip() is False
                with advisory_lock(AGENT, 42, timeout=0.05):
                    return False
        except LockReentered:
            return refused
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic(), advisory_lock(AGENT, 42):
            inside = copy_context()
            assert thread.submit(inside.run, help_out).result(PATIENCE)
        with transaction.atomic():
            # What was started inside may outlive the section: then the key is free for it too.
            assert thread.submit(inside.run, _enter_in_a_transaction).result(PATIENCE)


def _enter_in_a_transaction():
    try:
        with transaction.atomic():
            return _skip()
    finally:
        connections.close_all()


def test_a_helper_that_was_started_inside_is_told_so_and_does_not_wait():
    _helper_with_a_connection_of_its_own_is_kept_out()


def test_mutant_that_knows_the_connection_alone_waits_for_itself(monkeypatch):
    monkeypatch.setattr("locks.transactional.refuse_from_inside", lambda *_, **__: None)
    with pytest.raises(LockTimeout):
        _helper_with_a_connection_of_its_own_is_kept_out()


async def _other_task_is_kept_out():
    """Tasks share the connection of asgiref's thread."""
    entered, tried, blocks = asyncio.Event(), asyncio.Event(), ExitStack()

    def enter():
        blocks.enter_context(transaction.atomic())
        blocks.enter_context(advisory_lock(AGENT, 42))

    def intrude():
        try:
            refused = _skip() is False
            _enter_and_leave()
        except LockReentered:
            return refused

    async def first():
        await sync_to_async(enter)()
        entered.set()
        await tried.wait()
        await sync_to_async(blocks.close)()

    async def second():
        await entered.wait()
        try:
            return await sync_to_async(intrude)()
        finally:
            tried.set()

    try:
        _, kept_out = await asyncio.wait_for(asyncio.gather(first(), second()), PATIENCE)
        assert kept_out, "the other task was let in"
    finally:
        await sync_to_async(connections.close_all)()


def test_another_task_is_kept_out():
    asyncio.run(_other_task_is_kept_out())


def test_mutant_with_a_register_per_task_the_other_task_gets_in(forgetful):
    with pytest.raises(AssertionError, match="the other task was let in"):
        asyncio.run(_other_task_is_kept_out())


def test_code_on_the_event_loop_itself_is_refused_by_django():
    async def enter():
        with advisory_lock(AGENT, 42):
            pytest.fail("entered")

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(enter())


@pytest.mark.django_db(transaction=False)
def test_inside_a_test_case_each_block_of_the_code_under_test_is_a_section_of_its_own():
    for _ in range(2):
        with transaction.atomic():
            take(LockKey(AGENT, 42))
        with transaction.atomic():
            _enter_and_leave()


def test_locked_rows_know_re_entry_too(django_user_model):
    class Users(LockingQuerySet):
        lock_namespace = 100

    user = django_user_model.objects.create(username="a")
    with transaction.atomic():
        Users(django_user_model).locked(user.pk)
        with pytest.raises(LockReentered):
            Users(django_user_model).locked(user.pk)
