"""The lock in async code: the same names and meanings."""

import asyncio
import contextvars
import time
from contextlib import ExitStack, asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from locks import (
    LockLost,
    LockNamespace,
    LockReentered,
    LockTimeout,
    advisory_lock,
    advisory_lock_or_skip,
    advisory_locks,
    advisory_locks_or_skip,
)
from locks.dedicated import connections_for
from locks.testing import held_elsewhere
from locks.waiters import _asking
from tests.locks.actors import PATIENCE, ask
from tests.locks.actors import advisory_locks as counted
from tests.races.meeting import asked

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT
SCOPES = pytest.mark.parametrize("scope", ["transaction", "session"])
WAITERS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def fenced(key=42, **options):
    return advisory_lock(AGENT, key, scope="session", **options)


def run(work):
    """Run to its end, and close the connections of the thread that did the synchronous part."""

    async def closing_all():
        try:
            return await asyncio.wait_for(work, PATIENCE)
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(closing_all())


@asynccontextmanager
async def around(scope):
    """What has to be around a section of that scope."""
    if scope == "session":
        yield
        return
    atomic = transaction.atomic()
    await sync_to_async(atomic.__enter__)()
    try:
        yield
    except BaseException as error:
        await sync_to_async(atomic.__exit__)(type(error), error, error.__traceback__)
        raise
    await sync_to_async(atomic.__exit__)(None, None, None)


async def until_so(fact):
    """Let other tasks go on until the fact, asked in this thread and without Django, is true."""
    while not fact():
        await asyncio.sleep(0.002)


def somebody_waits():
    return asked(WAITERS)[0][0] > 0


def apart(work):
    """Return a task in a context that knows nothing of the section around it."""
    return asyncio.create_task(work, context=contextvars.Context())


async def cancelled(task):
    """Cancel a task; it ends as one that was cancelled."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def skips():
    async with advisory_lock_or_skip(AGENT, 42, scope="session") as entered:
        return not entered


class TestHolding:
    def test_two_tasks_are_in_it_one_at_a_time(self):
        order = []

        async def work(name):
            async with fenced(timeout=PATIENCE):
                order.append(f"{name} in")
                await asyncio.sleep(0.01)
                order.append(f"{name} out")

        async def both():
            await asyncio.gather(work("a"), work("b"))

        run(both())
        assert order in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])

    def test_a_task_in_a_transaction_of_its_thread_has_the_lock_there(self):
        async def work():
            async with around("transaction"), advisory_lock(AGENT, 42) as held:
                await sync_to_async(held.verify)()
                with pytest.raises(LockReentered):
                    await advisory_lock(AGENT, 42).__aenter__()
            return await sync_to_async(counted)()

        assert run(work()) == 0

    def test_its_work_verifies_the_fence(self):
        async def work():
            async with fenced() as lock, around("transaction"):
                await lock.averify()
                return lock.fence

        assert run(work()) < run(work())

    @SCOPES
    def test_many_keys_are_taken_together(self, scope):
        keys = [(AGENT, 1), (AGENT, 2)]

        async def work():
            async with around(scope), advisory_locks(keys, scope=scope) as held:
                assert {key.key for key in held.keys} == {1, 2}
                return await sync_to_async(counted)()

        assert run(work()) == 4
        assert counted() == 0

    def test_those_who_share_it_are_in_it_together_and_nobody_else(self):
        async def share(met):
            async with fenced(shared=True):
                await met.wait()
                assert await apart(skips())
                await met.wait()

        async def both():
            met = asyncio.Barrier(2)
            await asyncio.gather(share(met), share(met))
            assert not await skips()

        run(both())


class TestSkipping:
    @SCOPES
    def test_a_free_key_is_entered(self, scope):
        async def work():
            async with around(scope), advisory_lock_or_skip(AGENT, 42, scope=scope) as entered:
                return entered, await sync_to_async(counted)()

        assert run(work()) == (True, 2)
        assert counted() == 0

    @SCOPES
    def test_a_busy_one_is_skipped_and_the_block_runs_and_is_told(self, scope):
        async def work():
            async with around(scope), advisory_lock_or_skip(AGENT, 42, scope=scope) as entered:
                return entered, await sync_to_async(counted)()

        with held_elsewhere(AGENT, 42):
            assert run(work()) == (False, 2)
        assert len(connections_for("default")) == 0

    @SCOPES
    def test_of_many_keys_all_are_skipped_where_one_is_busy(self, scope):
        async def work():
            block = advisory_locks_or_skip([(AGENT, 41), (AGENT, 42)], scope=scope)
            async with around(scope), block as entered:
                return entered, await sync_to_async(counted)()

        with held_elsewhere(AGENT, 42):
            assert run(work()) == (False, 2)
        assert run(work()) == (True, 4)


class TestLoss:
    async def _lose(self, lock):
        await sync_to_async(ask)("SELECT pg_terminate_backend(%s, 5000)", [lock.raw.info.backend_pid])
        await until_so(lambda: lock.is_lost)

    def test_it_is_noticed_and_raised_at_the_end(self):
        ended = []

        async def work():
            async with fenced() as lock:
                assert not lock.is_lost
                await self._lose(lock)
                with pytest.raises(LockLost):
                    await lock.averify()
                ended.append(lock)

        with pytest.raises(LockLost, match="AGENT 42"):
            run(work())
        assert ended
        assert len(connections_for("default")) == 0

    def test_the_error_of_the_block_is_raised_and_the_loss_is_logged(self, caplog):
        async def work():
            async with fenced() as lock:
                await self._lose(lock)
                raise KeyError

        with pytest.raises(KeyError):
            run(work())
        assert "AGENT 42 does not hold any more" in caplog.text


class TestPlaces:
    """A process has only so many connections for locks; tasks have theirs among them."""

    @pytest.fixture(autouse=True)
    def one_place(self, settings):
        settings.LOCKS = {"SESSIONS": 1}

    def test_who_finds_none_is_told_in_time(self):
        async def work():
            async with fenced(1):
                began = time.monotonic()
                with pytest.raises(LockTimeout, match="all 1 connections"):
                    await fenced(2, timeout=0.05).__aenter__()
                assert 0.05 <= time.monotonic() - began < PATIENCE / 2
                async with advisory_lock_or_skip(AGENT, 2, scope="session") as entered:
                    assert entered is False
            async with fenced(2):
                assert len(connections_for("default")) == 1

        run(work())
        assert len(connections_for("default")) == 0

    def test_who_waits_for_one_gets_it_and_other_tasks_go_on_meanwhile(self):
        async def enter():
            async with fenced(1, timeout=PATIENCE) as lock:
                return lock.fence

        async def work():
            async with fenced(2) as lock:
                waiting = apart(enter())
                await until_so(lambda: _asking)
                await asyncio.sleep(0)
                assert not waiting.done()
            assert await waiting > lock.fence

        run(work())

    def test_a_wait_for_one_that_is_cancelled_takes_none(self):
        async def work():
            async with fenced(2):
                waiting = apart(fenced(1, timeout=PATIENCE).__aenter__())
                await until_so(lambda: _asking)
                await cancelled(waiting)
                assert not _asking
            assert len(connections_for("default")) == 0

        run(work())


class TestWaiting:
    @SCOPES
    def test_other_tasks_go_on_while_one_waits(self, scope):
        """The holder leaves when another task says so: a loop that stood still would wait for itself."""

        async def enter():
            async with around(scope), advisory_lock(AGENT, 42, scope=scope, timeout=PATIENCE / 4):
                return True

        async def work():
            with ExitStack() as stack:
                stack.enter_context(elsewhere)
                waiting = asyncio.create_task(enter())
                await until_so(somebody_waits)
                turns = [await asyncio.sleep(0) for _ in range(1000)]
                assert len(turns) == 1000
                assert not waiting.done()
            return await waiting

        elsewhere = held_elsewhere(AGENT, 42)
        assert run(work())
