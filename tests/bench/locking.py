"""What a lock costs: ours, django-pglock's and the driver's own, one after the other in each round, on one server.

``python -m tests.bench.locking``, a process of its own that writes JSON. Nobody works while a lock is held, so all that
is measured is the lock and its transaction.
"""

import json
import statistics
import sys
import time
from contextlib import contextmanager

import pglock
from django.conf import settings
from django.db import connection, transaction

import headspace.wsgi  # noqa: F401 - sets Django up, for what is imported next
from locks import LockKey, LockNamespace, advisory_lock, advisory_locks
from locks.dedicated import parameters
from locks.monitor import snapshot
from tests.bench.contenders import CONTENDERS, throughput
from tests.bench.wire import TRACEABLE, counted

import psycopg  # isort: skip

NS = LockNamespace.AGENT
HUNDRED = list(range(1000, 1100))
TIMEOUT = 5
RAW_TIMEOUT = (
    "SELECT set_config('lock_timeout', '5000', true), pg_advisory_xact_lock(%s), set_config('lock_timeout', '0', true)"
)
MARKED = "SELECT locks_mark_session(id, 1), pg_advisory_lock(id) FROM unnest(%s::bigint[]) AS asked(id)"
STATE = """
    SELECT (SELECT count(*) FROM pg_stat_activity), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')
"""
RAW_MANY = "SELECT pg_advisory_xact_lock(id) FROM unnest(%s::bigint[]) AS asked(id)"


def django(sql, *params):
    """Return one transaction with one statement, through Django."""

    def act():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, params)

    return act


def raw(driver, sql, *params):
    """Return the same through the driver alone."""

    def act():
        with driver.transaction():
            driver.execute(sql, params)

    return act


def within(section):
    """Return one transaction with a section of this kind in it."""

    def act():
        with transaction.atomic(), section():
            pass

    return act


@contextmanager
def pglocked(key, **options):
    """Enter a lock of theirs in a transaction: it has no context manager for that."""
    assert pglock.advisory(key, xact=True, **options).acquire()
    yield


def alone(section):
    def act():
        with section():
            pass

    return act


def loop_of_pglocks():
    with transaction.atomic():
        for key in HUNDRED:
            assert pglock.advisory(key, xact=True).acquire()


def session_pair(driver):
    def act():
        driver.execute("SELECT pg_advisory_lock(%s)", [7])
        driver.execute("SELECT pg_advisory_unlock(%s)", [7])

    return act


def cases(driver):
    """Return the sides of each comparison: the driver, Django with the same statement, django-pglock, ours."""
    return {
        "in a transaction": {
            "psycopg": raw(driver, "SELECT pg_advisory_xact_lock(%s)", 7),
            "django": django("SELECT pg_advisory_xact_lock(%s)", 7),
            "pglock": within(lambda: pglocked(7)),
            "ours": within(lambda: advisory_lock(NS, 7, timeout=None)),
        },
        "with a timeout": {
            "psycopg": raw(driver, RAW_TIMEOUT, 7),
            "django": django(RAW_TIMEOUT, 7),
            "pglock": within(lambda: pglocked(7, timeout=TIMEOUT)),
            "ours": within(lambda: advisory_lock(NS, 7, timeout=TIMEOUT)),
        },
        "100 keys": {
            "psycopg": raw(driver, RAW_MANY, HUNDRED),
            "django": django(RAW_MANY, HUNDRED),
            "pglock": loop_of_pglocks,
            "ours": within(lambda: advisory_locks([(NS, key) for key in HUNDRED])),
        },
        "of a session": {
            "psycopg": session_pair(driver),
            "pglock": alone(lambda: pglock.advisory("seven")),
            "ours": alone(lambda: advisory_lock(NS, 7, scope="session")),
        },
    }


def microseconds(act, times):
    """Return how long one takes, the median of all."""
    seen = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        seen.append(time.perf_counter() - began)
    return 1e6 * statistics.median(seen)


def measured(rounds, times):
    with psycopg.connect(**parameters("default")) as driver:
        table = {name: {side: [] for side in sides} for name, sides in cases(driver).items()}
        for number in range(rounds + 1):
            for name, sides in cases(driver).items():
                for side, act in sides.items():
                    cost = microseconds(act, times if name != "100 keys" else times // 10)
                    # The first round warms up.
                    table[name][side] += [cost] if number else []
    return {name: {side: statistics.median(costs) for side, costs in sides.items()} for name, sides in table.items()}


def flushes():
    """Return what our own ways in cost inside an open transaction, counted on the wire."""
    sections = {
        "one key, no timeout": lambda: advisory_lock(NS, 7, timeout=None),
        "one key, a timeout": lambda: advisory_lock(NS, 7, timeout=TIMEOUT),
        "100 keys": lambda: advisory_locks([(NS, key) for key in HUNDRED]),
        "pglock, no timeout": lambda: pglocked(7),
        "pglock, a timeout": lambda: pglocked(7, timeout=TIMEOUT),
    }
    return {name: _flushes(section) for name, section in sections.items() if TRACEABLE}


def _flushes(section):
    with transaction.atomic():
        # BEGIN is on its way.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        with counted(connection) as wire, section():
            pass
    return wire.counts


def watching():
    """Return what looking costs, in milliseconds, with nothing held, and with so many locks of ours and of others."""
    seen = {"0": looked()}
    for marked, plain in ((1000, 0), (5000, 0), (0, 10_000)):
        with psycopg.connect(**parameters("default")) as driver:
            keys = [LockKey(NS, key).id for key in range(marked)]
            driver.execute(
                "SELECT locks_mark_session(id, 1), pg_advisory_lock(id) FROM unnest(%s::bigint[]) AS k(id)", [keys]
            )
            driver.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, %s) AS n", [plain])
            seen[f"{marked or plain} {'of ours' if marked else 'of others'}"] = looked()
    return seen


def looked():
    sides = {"scan": scan, "whole": snapshot}
    return {name: 1000 * statistics.median(timed(act) for _ in range(9)) for name, act in sides.items()}


def scan():
    """Read what the server shows of its locks, and nothing more: less no monitor can do."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid, mode, granted, classid::bigint, objid::bigint, objsubid FROM pg_locks")
        cursor.fetchall()


def timed(act):
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def growth(pairs):
    """Return what so many pairs leave behind: sessions, locks, and kilobytes of this process."""
    acts = [within(lambda: advisory_lock(NS, 7)), alone(lambda: advisory_lock(NS, 7, scope="session"))]
    for act in acts * 100:
        act()
    before = state()
    for act in acts * (pairs // 2):
        act()
    return [after - was for after, was in zip(state(), before, strict=True)]


def state():
    with connection.cursor() as cursor:
        cursor.execute(STATE)
        sessions, held = cursor.fetchone()
    return sessions, held, resident()


def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def main():
    size = json.load(sys.stdin)
    # All contenders may wait for one key, as with the others; and the server is filled on purpose.
    settings.LOCKS = {"WAITERS": CONTENDERS, "FULLEST": 10.0}
    told = {
        "costs": measured(size["rounds"], size["times"]),
        "flushes": flushes(),
        "throughput": throughput(size["rounds"], size["seconds"]),
        "watching": watching(),
        "growth": growth(size["pairs"]),
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
