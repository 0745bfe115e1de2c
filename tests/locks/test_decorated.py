"""The lock as a decorator."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from locks import LockNamespace, LockReentered, LockTimeout, NotInTransaction, advisory_lock, advisory_locks
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


@pytest.mark.parametrize("scope", ["transaction", "session"])
def test_a_thread_that_gives_up_leaves_the_lock_of_the_one_that_is_inside(scope):
    """What both share must not be the lock: the failed try of one would give back what the other holds."""
    ran, is_inside, may_go = [], threading.Event(), threading.Event()

    @advisory_lock(AGENT, 42, scope=scope, timeout=0.02)
    def body(name):
        ran.append(name)
        is_inside.set()
        assert may_go.wait(PATIENCE)
        return counted()

    def work(name):
        try:
            return (transaction.atomic()(body) if scope == "transaction" else body)(name)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(work, "a")
        try:
            assert is_inside.wait(PATIENCE)
            for _ in range(2):
                with pytest.raises(LockTimeout):
                    threads.submit(work, "b").result(PATIENCE)
                assert counted() == 2
        finally:
            may_go.set()
        assert first.result(PATIENCE) == 2
        assert threads.submit(work, "b").result(PATIENCE) == 2
    assert ran == ["a", "b"]


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


async def _closing(work):
    try:
        return await work
    finally:
        await sync_to_async(connections.close_all)()
