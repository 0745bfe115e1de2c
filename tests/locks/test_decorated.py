"""The lock as a decorator, and in async code."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from locks import LockNamespace, LockReentered, NotInTransaction, advisory_lock, advisory_locks
from tests.locks.actors import PATIENCE
from tests.locks.actors import advisory_locks as counted

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


@advisory_lock(AGENT, 42, scope="session")
def number_of_locks():
    """Say how many."""
    return counted()


def test_a_function_runs_inside_of_the_section_and_stays_itself():
    assert number_of_locks() == 2
    assert counted() == 0
    assert (number_of_locks.__name__, number_of_locks.__doc__) == ("number_of_locks", "Say how many.")


def test_in_transaction_scope_it_needs_one_around_it():
    locked = advisory_lock(AGENT, 42)(counted)
    with pytest.raises(NotInTransaction):
        locked()
    assert transaction.atomic()(locked)() == 2


def test_the_key_may_be_found_in_the_arguments_of_the_call():
    seen = []

    @advisory_lock(AGENT, lambda key, **_: key, scope="session")
    def work(key, more=None):
        with pytest.raises(LockReentered), advisory_lock(AGENT, key, scope="session"):
            pytest.fail("entered")
        with advisory_lock(AGENT, key + 1, scope="session"):
            seen.append((key, more))

    work(1)
    work(5, more="x")
    assert seen == [(1, None), (5, "x")]
    with pytest.raises(TypeError, match="for decorators"), advisory_lock(AGENT, lambda: 1, scope="session"):
        pytest.fail("entered")


def test_many_keys_too():
    assert advisory_locks([(AGENT, 1), (AGENT, 2)], scope="session")(counted)() == 4


def test_threads_that_share_a_decorated_function_are_in_it_one_at_a_time():
    """A shared instance would let the second thread in, or keep the lock for ever (django-pglock, both seen)."""
    inside, most, mutex = [0], [0], threading.Lock()

    @advisory_lock(AGENT, 42, scope="session", timeout=PATIENCE)
    def work():
        with mutex:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        assert counted() > 0
        with mutex:
            inside[0] -= 1
        connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(work) for _ in range(30)]:
            done.result(PATIENCE)
    assert most == [1]


def test_what_goes_on_after_the_call_is_refused_where_it_is_decorated():
    locked = advisory_lock(AGENT, 42, scope="session")

    def generator():
        yield 1

    async def agenerator():
        yield 1

    for unfit in (generator, agenerator, partial(generator), list, 5):
        with pytest.raises(TypeError):
            locked(unfit)


def test_a_function_that_hides_a_coroutine_is_refused_before_that_runs():
    ran = []

    async def body():
        ran.append(1)

    with pytest.raises(TypeError, match="without the lock"):
        advisory_lock(AGENT, 42, scope="session")(lambda: body())()
    assert not ran
    assert counted() == 0


def test_a_coroutine_function_runs_inside_of_the_section():
    @advisory_lock(AGENT, 42, scope="session")
    async def work():
        await asyncio.sleep(0)
        return await sync_to_async(counted)()

    assert asyncio.run(_closing(work())) == 2


def test_one_object_serves_one_block_at_a_time():
    """Two threads that share it would leave each other's section."""
    shared = advisory_lock(AGENT, 42, scope="session")
    with shared, pytest.raises(LockReentered, match="make one for each"), shared:
        pytest.fail("entered")
    with shared:
        assert counted() == 2


class TestTasks:
    """In async code, with the same names and meanings."""

    def test_two_tasks_are_in_it_one_at_a_time(self):
        order = []

        async def work(name):
            async with advisory_lock(AGENT, 42, scope="session", timeout=PATIENCE):
                order.append(f"{name} in")
                await asyncio.sleep(0.01)
                order.append(f"{name} out")

        async def both():
            await asyncio.gather(work("a"), work("b"))

        asyncio.run(_closing(both()))
        assert order in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])

    def test_a_wait_that_is_cancelled_leaves_nothing_behind(self):
        async def cancelled():
            async with advisory_lock(AGENT, 42, scope="session"):
                before = await sync_to_async(counted)()
                waiting = asyncio.create_task(_enter_apart())
                while await sync_to_async(counted)() < before + 2:
                    await asyncio.sleep(0.005)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                while await sync_to_async(counted)() > before:
                    await asyncio.sleep(0.005)
            async with advisory_lock(AGENT, 42, scope="session", timeout=1):
                return True

        assert asyncio.run(_closing(asyncio.wait_for(cancelled(), PATIENCE)))

    def test_a_task_in_a_transaction_of_its_thread_has_the_lock_there(self):
        async def work():
            atomic = transaction.atomic()
            await sync_to_async(atomic.__enter__)()
            async with advisory_lock(AGENT, 42) as held:
                await sync_to_async(held.verify)()
                with pytest.raises(LockReentered):
                    async with advisory_lock(AGENT, 42):
                        pytest.fail("entered")
            await sync_to_async(atomic.__exit__)(None, None, None)
            return await sync_to_async(counted)()

        assert asyncio.run(_closing(work())) == 0

    def test_its_work_verifies_the_fence(self):
        async def work():
            async with advisory_lock(AGENT, 42, scope="session") as lock:
                atomic = transaction.atomic()
                await sync_to_async(atomic.__enter__)()
                await lock.averify()
                await sync_to_async(atomic.__exit__)(None, None, None)
                return lock.fence

        assert asyncio.run(_closing(work())) < asyncio.run(_closing(work()))


async def _enter_apart():
    """Enter in a context that knows nothing of the section around it."""
    import contextvars

    async def enter():
        async with advisory_lock(AGENT, 42, scope="session"):
            pytest.fail("entered")

    await asyncio.create_task(enter(), context=contextvars.Context())


async def _closing(work):
    try:
        return await work
    finally:
        await sync_to_async(connections.close_all)()
