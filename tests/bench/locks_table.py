"""What locks cost, as text, in Markdown."""

from tests.bench.table import rows

SIDES = ("psycopg", "django", "pglock", "ours")


def costs(seen):
    """Microseconds of one transaction (or pair) with nothing but the lock, medians; and ours in relation."""
    head = ["lock", *(f"{side} µs" for side in SIDES), "ours / psycopg", "ours / django", "ours / pglock"]
    return rows(head, [_cost_of(name, sides) for name, sides in seen.items()])


def _cost_of(name, sides):
    ratios = [_ratio(sides["ours"], sides.get(side)) for side in ("psycopg", "django", "pglock")]
    return [name, *(f"{sides[side]:.0f}" if side in sides else "" for side in SIDES), *ratios]


def flushes(seen):
    """Statements and flushes between an open transaction and the server, counted."""
    head = ["lock", "statements", "flushes"]
    return rows(head, [[name, str(wire["statements"]), str(wire["flushes"])] for name, wire in seen.items()])


def throughput(seen):
    """Transactions per second of 32 threads, each with a timeout, medians."""
    head = ["keys", "psycopg/s", "pglock/s", "ours/s", "ours / psycopg", "ours / pglock"]
    return rows(head, [_throughput_of(keys, sides) for keys, sides in seen.items()])


def _throughput_of(keys, sides):
    ratios = [_ratio(sides["ours"], sides[side]) for side in ("psycopg", "pglock")]
    return [keys, *(f"{sides[side]:.0f}" for side in ("psycopg", "pglock", "ours")), *ratios]


def watching(seen):
    """Milliseconds of one look of the monitor, medians."""
    return rows(
        ["locks held", "scan of pg_locks ms", "whole look ms"], [_look(name, look) for name, look in seen.items()]
    )


def _look(name, look):
    return [name, f"{look['scan']:.1f}", f"{look['whole']:.1f}"]


def growth(seen, pairs):
    sessions, locks, kilobytes = seen
    return f"After {pairs:,} pairs: {sessions:+} connections, {locks:+} locks, {kilobytes:+} kB of this process."


def _ratio(ours, theirs):
    return f"{ours / theirs:.2f}" if theirs else ""
