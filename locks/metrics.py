"""The locks' numbers for Prometheus: what is held now, and how long locks have been waited for and held."""

from collections.abc import Iterator
from math import inf

from django.db import DEFAULT_DB_ALIAS
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric

from locks.history import timings
from locks.keys import namespace_name
from locks.models import Timing
from locks.monitor import load
from locks.timings import BOUNDS, What


def families(using: str = DEFAULT_DB_ALIAS) -> Iterator[Metric]:
    """Yield all numbers; those of other processes are a few seconds old. MonitorTimeout as the monitor's."""
    now = load(using)
    yield GaugeMetricFamily("locks_held", "Advisory locks that are held.", now.held)
    yield GaugeMetricFamily("locks_waiting", "Sessions that wait for an advisory lock.", now.waiting)
    yield GaugeMetricFamily("locks_oldest_wait_seconds", "How long the oldest of them waits.", now.oldest_wait_seconds)
    yield GaugeMetricFamily("locks_ghosts", "Advisory locks that were taken outside the library.", now.ghosts)
    yield GaugeMetricFamily("locks_table_taken", "Entries in the server's table of locks.", now.room.taken)
    yield GaugeMetricFamily("locks_table_nominal", "Entries for which that table was made.", now.room.nominal)
    durations = timings(using)
    yield _histogram("wait", "How long locks were waited for, of those that were granted.", durations)
    yield _histogram("hold", "How long locks were held.", durations)


def _histogram(what: What, says: str, durations: dict[tuple[int, What], list[Timing]]) -> Metric:
    family = HistogramMetricFamily(f"locks_{what}_seconds", says, labels=["namespace"])
    for (namespace, which), rows in durations.items():
        if which == what:
            family.add_metric([namespace_name(namespace)], _buckets(rows), sum(row.seconds for row in rows))
    return family


def _buckets(rows: list[Timing]) -> list[tuple[str, float]]:
    """Return how many were that long or shorter."""
    return [(_written(bound), sum(row.count for row in rows if row.bound <= bound)) for bound in BOUNDS]


def _written(bound: float) -> str:
    return "+Inf" if bound == inf else repr(bound)
