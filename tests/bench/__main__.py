"""``make bench``: measures hooks per second against PostgreSQL itself, and locks against others; prints ratios."""

import argparse
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass

from tests.bench import locks_table, table
from tests.bench.ground import AGENTS, Ground
from tests.bench.place import place
from tests.bench.processes import memory, processor_seconds
from tests.bench.rounds import cases, measure
from tests.bench.wal import written

STATISTICS_AFTER = 11  # seconds in which PostgreSQL's idle clients tell their counts


@dataclass(frozen=True)
class Size:
    """How much is measured; seconds."""

    rounds: int
    seconds: float
    warm_up: float
    costs: float
    locks: dict


WHOLE = Size(rounds=3, seconds=5, warm_up=2, costs=3, locks={"rounds": 5, "times": 400, "seconds": 2, "pairs": 10_000})
QUICK = Size(rounds=1, seconds=2, warm_up=1, costs=0, locks={"rounds": 1, "times": 100, "seconds": 0.5, "pairs": 1000})
LOCKS_WITHIN = 900  # seconds


def main():
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of each, in less than a minute")
    parser.add_argument("--only", choices=["hooks", "locks"], help="measure one of them")
    told = parser.parse_args()
    size = QUICK if told.quick else WHOLE
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    began_at = time.monotonic()
    with place() as found:
        say(table.machine(found.ask("SHOW server_version")))
        if told.only != "locks":
            run(found, size)
        if told.only != "hooks":
            locks(found, size.locks)
    say(f"\n{time.monotonic() - began_at:.0f} s")


def run(found, size):
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(found.running())
        ground = Ground.of(found)
        ground.load(AGENTS, 8, size.warm_up)
        say("\nCounted, between a hook and PostgreSQL:\n\n" + table.costs(ground.costs))
        speeds(ground, size)
        say("\nMemory after the load:\n\n" + table.memory(memory(process.pid, found.postgres)))
        if size.costs:
            seen = costs_of_a_hook(ground, size.costs, process, stack.close)
            say("\nWhat a hook costs the server, 8 clients:\n\n" + table.costs_of_a_hook(seen))


def locks(found, size):
    seen = json.loads(found.output_of(["-m", "tests.bench.locking"], json.dumps(size), LOCKS_WITHIN))
    say("\nLocks, one after the other with nobody in the way:\n\n" + locks_table.costs(seen["costs"]))
    say("\nLocks, counted on the wire inside an open transaction:\n\n" + locks_table.flushes(seen["flushes"]))
    say("\nLocks, 32 contenders:\n\n" + locks_table.throughput(seen["throughput"]))
    say("\nThe lock monitor:\n\n" + locks_table.watching(seen["watching"]))
    say("\n" + locks_table.growth(seen["growth"], size["pairs"]))


def speeds(ground, size):
    measured = cases()
    for number in range(size.rounds):
        for case in measured:
            measure(ground, case, size.seconds)
            say_progress(f"round {number + 1} of {size.rounds}: {case.name}")
    say("\nSpeed (hooks/s; p50 and p99 in ms):\n\n" + table.speed(measured))
    say("\nAnswers:\n\n" + table.answers(measured))


def costs_of_a_hook(ground, seconds, process, stop):
    """Return what hooks cost, ours and the limit's. Ends our processes: only then are all of their fsyncs known."""
    time.sleep(STATISTICS_AFTER)
    postgres = ground.place.postgres
    with written(ground.place.url) as ours:
        with used(process.pid, postgres) as processor:
            ours["hooks"] = ground.load(AGENTS, 8, seconds)["acknowledged"]
        stop()
    ours |= processor
    with written(ground.place.url) as limit, used(postgres) as processor:
        limit["hooks"] = ground.limit.run("limit.sql", AGENTS, 8, seconds)["count"]
    limit |= processor
    return {"limit": limit, "ours": ours}


@contextlib.contextmanager
def used(*roots):
    """Yield what becomes the processor time of the processes during the block."""
    seen = {}
    before = processor_seconds(*roots)
    yield seen
    seen["processor"] = processor_seconds(*roots) - before


def say_progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(text + "\n")


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
