"""A task may be cancelled at every await on its way into a section and out of it: no lock and no place is left."""

import asyncio
import socket
import threading
from contextlib import ExitStack, closing

import psycopg
import pytest
from asgiref.sync import sync_to_async

from locks import advisory_locks
from locks.asks import ASK_SESSION
from locks.dedicated import PREPARE, connections_for, parameters
from locks.fenced import _RELEASE
from locks.testing import held_elsewhere
from locks.waiters import _asking
from tests.locks.actors import PATIENCE, until
from tests.locks.actors import advisory_locks as counted
from tests.locks.test_async import AGENT, around, cancelled, fenced, run, somebody_waits, until_so

pytestmark = pytest.mark.django_db(transaction=True)
MOMENTS = pytest.mark.parametrize("moment", ["before it is sent", "behind its answer"])


class Stop:
    """A statement of a lock's own connection before or behind which its task stands until it is cancelled."""

    def __init__(self, monkeypatch, sql, moment):
        self._sql, self._is_behind = sql, moment.startswith("behind")
        self._reached = asyncio.Event()
        # Kept, so that none is closed only because nobody knows it any more.
        self._raws = []
        self._execute = psycopg.AsyncConnection.execute
        monkeypatch.setattr(psycopg.AsyncConnection, "execute", lambda raw, *statement: self._pass(raw, *statement))

    async def _pass(self, raw, sql, *arguments):
        if sql != self._sql:
            return await self._execute(raw, sql, *arguments)
        self._raws.append(raw)
        if self._is_behind:
            await self._execute(raw, sql, *arguments)
        self._reached.set()
        await asyncio.Event().wait()

    async def cancel(self, task):
        """Cancel the task when it stands there; its connection is closed at once."""
        await self._reached.wait()
        await cancelled(task)
        assert [raw.closed for raw in self._raws] == [True]


async def in_and_out(block):
    async with block:
        pass


def assert_nothing_is_left():
    assert len(connections_for("default")) == 0
    assert not _asking
    until(lambda: counted() == 0)


@MOMENTS
@pytest.mark.parametrize("sql", [PREPARE, ASK_SESSION, _RELEASE], ids=["prepare", "ask", "release"])
def test_at_a_statement(monkeypatch, sql, moment):
    stop, block = Stop(monkeypatch, sql, moment), fenced()

    async def work():
        await stop.cancel(asyncio.create_task(in_and_out(block)))

    run(work())
    assert_nothing_is_left()
    # The object can be used again.
    monkeypatch.undo()
    run(in_and_out(block))


def test_while_it_connects(monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        host, port = silent.getsockname()
        monkeypatch.setattr(
            "locks.fenced.parameters", lambda using: parameters(using) | {"host": host, "hostaddr": host, "port": port}
        )

        async def work():
            connecting = asyncio.create_task(in_and_out(fenced()))
            there, _ = await asyncio.get_running_loop().sock_accept(silent)
            with there:
                assert len(connections_for("default")) == 1
                await cancelled(connecting)
                # The other end hangs up: what was sent first is read, then the stream is at its end.
                while await asyncio.get_running_loop().sock_recv(there, 1024):
                    pass

        silent.setblocking(False)
        run(work())
    assert_nothing_is_left()


def test_while_the_thread_for_synchronous_code_is_busy():
    """Where it is looked whether a transaction is open."""
    may_go = threading.Event()

    async def work():
        busy = asyncio.create_task(sync_to_async(may_go.wait)(PATIENCE))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(in_and_out(fenced()))
        await asyncio.sleep(0)
        waiting.cancel()
        may_go.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await busy

    run(work())
    assert_nothing_is_left()


def test_while_it_waits_for_the_lock():
    async def work():
        waiting = asyncio.create_task(in_and_out(fenced(timeout=PATIENCE)))
        await until_so(somebody_waits)
        await cancelled(waiting)
        await until_so(lambda: not somebody_waits())

    with held_elsewhere(AGENT, 42):
        run(work())
        assert len(connections_for("default")) == 0
    assert_nothing_is_left()


@pytest.mark.parametrize("keys", [[(AGENT, 42)], [(AGENT, 42), (AGENT, 43)]], ids=["one key", "many"])
def test_in_transaction_scope_the_thread_waits_on_but_nobody_is_inside_of_what_it_gets(keys):
    async def work():
        async with around("transaction"):
            with ExitStack() as stack:
                stack.enter_context(elsewhere)
                waiting = asyncio.create_task(advisory_locks(keys, timeout=PATIENCE).__aenter__())
                await until_so(somebody_waits)
                await cancelled(waiting)
            await in_and_out(advisory_locks(keys))

    elsewhere = held_elsewhere(AGENT, 42)
    run(work())
    assert_nothing_is_left()


def test_in_the_block():
    is_inside = asyncio.Event()

    async def stay():
        async with fenced():
            is_inside.set()
            await asyncio.Event().wait()

    async def work():
        staying = asyncio.create_task(stay())
        await is_inside.wait()
        await cancelled(staying)

    run(work())
    assert_nothing_is_left()
