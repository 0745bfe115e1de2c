"""Thirty-two contenders for few or many keys: how often they get one, by each way of taking it."""

import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress

import pglock
import psycopg
from django.db import connections, transaction

from locks import LockNamespace, advisory_lock
from locks.dedicated import parameters

CONTENDERS = 32
KEYS = (1, 8, 1000)
TIMEOUT = 30
WITHIN = 60
RAW = (
    "SELECT set_config('lock_timeout', '30000', true), pg_advisory_xact_lock(%s), set_config('lock_timeout', '0', true)"
)


def throughput(rounds, seconds):
    """Return transactions per second, medians of the rounds: number of keys → side → rate."""
    seen = {keys: {side: [] for side in SIDES} for keys in KEYS}
    for _ in range(rounds):
        for keys in KEYS:
            for side, make in SIDES.items():
                seen[keys][side].append(rate(make, keys, seconds))
    return {keys: {side: statistics.median(rates) for side, rates in sides.items()} for keys, sides in seen.items()}


def rate(make, keys, seconds):
    """Return how many transactions a second all contenders together get through."""
    gate = threading.Barrier(CONTENDERS + 1)
    with ThreadPoolExecutor(CONTENDERS) as threads, ExitStack() as stack:
        contenders = [threads.submit(contend, make, keys, seconds, gate, number) for number in range(CONTENDERS)]
        # One that fails before lets nobody wait for it.
        stack.callback(gate.abort)
        with suppress(threading.BrokenBarrierError):
            gate.wait(WITHIN)
        began = time.monotonic()
        done = sum(contender.result() for contender in contenders)
        return done / (time.monotonic() - began)


def contend(make, keys, seconds, gate, number):
    """Take keys at random, one after the other, for so many seconds; return how many."""
    dice, done = random.Random(number), 0
    try:
        with make() as take:
            take(number)
            gate.wait(WITHIN)
            ends_at = time.monotonic() + seconds
            while time.monotonic() < ends_at:
                take(dice.randrange(keys))
                done += 1
    except BaseException:
        gate.abort()
        raise
    finally:
        connections.close_all()
    return done


@contextmanager
def by_psycopg():
    def act(key):
        with driver.transaction():
            driver.execute(RAW, [key])

    with psycopg.connect(**parameters("default")) as driver:
        yield act


def by_pglock():
    def act(key):
        with transaction.atomic():
            # They refuse the key 0.
            assert pglock.advisory(key + 1, xact=True, timeout=TIMEOUT).acquire()

    return nullcontext(act)


def by_us():
    def act(key):
        with transaction.atomic(), advisory_lock(LockNamespace.AGENT, key, timeout=TIMEOUT):
            pass

    return nullcontext(act)


SIDES = {"psycopg": by_psycopg, "pglock": by_pglock, "ours": by_us}
