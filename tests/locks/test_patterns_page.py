"""The page of patterns as a whole: what it names is there, and what its examples cost is what it says."""

import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.utils import timezone

import locks
from locks import migrating
from locks.conf import Conf
from locks.dedicated import close_kept, connections_for
from tests.agents.rows import make_agent, make_command, make_host, make_turn
from tests.bench.wire import TRACEABLE
from tests.locks.actors import PATIENCE, until_waiting
from tests.locks.patterns_page import PATTERNS, ROW, TEXT, Claim, claims, counted, examples
from tests.locks.test_async import run

CALLS = {
    "1 Narrow write": lambda page, rows: page.spend(rows.agent, 1) is None,
    "2 Compare-and-set": lambda page, rows: page.hold(rows.agent, 0),
    "3 Row lock without a wait": lambda page, rows: page.settle(rows.agent),
    "4 Transaction lock": lambda page, rows: page.add_project(rows.host, "/home/ada/new").pk,
    "5 Several keys": lambda page, rows: page.move_project(rows.project, rows.host, rows.other),
    "6 Shared lock": lambda page, rows: page.inventory(rows.host),
    "7 Skip": lambda page, rows: page.name_projects(rows.host) != "skipped",
    "8 Claim": lambda page, rows: page.summarise_once(rows.turn, lambda: "short") == "short",
    "9 Fenced session lock": lambda page, rows: page.explain(rows.agent, lambda: "because"),
    "10 Migration lock": lambda page, rows: page.index_turns() is None,
}
"""What is counted of each pattern: a call that does its work."""

counting = pytest.mark.skipif(not TRACEABLE, reason="the driver traces its messages on Linux alone")


@pytest.fixture
def rows(transactional_db):
    """What the calls work on; locks in session scope have a connection that is kept."""
    agent = make_agent(ambiguous="two claim it")
    turn = make_turn(make_command(agent))
    with claims():
        Claim.objects.create(turn_id=turn.pk, until=timezone.now() - timedelta(days=1))
        with locks.advisory_lock(locks.LockNamespace.CYCLE, 1, scope="session"):
            pass
        yield SimpleNamespace(
            agent=agent.pk, host=agent.host_id, other=make_host().pk, project=agent.project_id, turn=turn.pk
        )
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX IF EXISTS turn_by_length")


def bill_of(name, rows):
    with counted() as bill:
        done = CALLS[name](examples(), rows)
    assert done, "it did nothing"
    return bill


@counting
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_a_call_costs_what_its_section_says(pattern, rows):
    assert bill_of(pattern.name, rows).costs == pattern.costs


@counting
def test_a_fenced_lock_without_a_kept_connection_costs_a_new_one_and_no_statement_more(rows):
    kept = bill_of("9 Fenced session lock", rows)
    close_kept()
    new = bill_of("9 Fenced session lock", rows)
    assert (kept.opened, new.opened) == (0, 1)
    assert new.costs == kept.costs


@pytest.mark.django_db(transaction=True)
def test_a_task_takes_a_new_connection_for_each_fenced_lock():
    async def twice():
        for _ in range(2):
            async with locks.advisory_lock(locks.LockNamespace.CYCLE, 1, scope="session") as lock:
                pids.append(lock.raw.info.backend_pid)

    pids = []
    run(twice())
    assert len(set(pids)) == 2
    assert len(connections_for("default")) == 0


@pytest.mark.django_db(transaction=True)
def test_entering_a_fenced_lock_is_one_commit_that_waits_for_the_disk():
    two = [(locks.LockNamespace.CYCLE, number) for number in range(2)]
    with locks.advisory_locks(two, scope="session") as lock, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT xmin::text) FROM locks_fence WHERE token = %s", [lock.fence])
        assert cursor.fetchone() == (2, 1)
        assert lock.raw.execute("SHOW synchronous_commit").fetchone() == ("on",)


@counting
def test_a_lock_that_has_to_wait_sends_nothing_more(rows, actor):
    holder, waiter, host = actor(), actor(), (examples().Keys.HOST, rows.host)
    holder.enter(transaction.atomic())
    holder.enter(locks.advisory_lock(*host))
    waiting = waiter.start(bill_of, "4 Transaction lock", rows)
    until_waiting(waiter)
    holder.leave()
    assert waiting.result(PATIENCE).costs == next(p.costs for p in PATTERNS if p.name == "4 Transaction lock")


@counting
def test_many_keys_cost_what_two_cost(rows):
    two, twenty = ([(locks.LockNamespace.AGENT, number) for number in range(most)] for most in (2, 20))
    assert _asking(two) == _asking(twenty)


def _asking(keys):
    with counted() as bill, transaction.atomic(), locks.advisory_locks(keys):
        pass
    return bill.costs


def test_the_table_names_the_sections_in_their_order_with_their_costs():
    found = [(name, anchor, *map(int, costs)) for _, name, anchor, *costs in ROW.findall(TEXT)]
    assert found == [(p.name, p.name.lower().replace(" ", "-"), *p.costs) for p in PATTERNS]


def test_the_limits_that_are_named_are_those_in_force():
    assert "beyond a thousand keys" in TEXT and Conf().most_keys == 1000
    assert "asks twice a second" in TEXT and migrating._TRY_EVERY == 1 / 2
    assert "eight such connections at once" in TEXT and Conf().sessions == 8


def test_every_pattern_is_counted():
    assert [pattern.name for pattern in PATTERNS] == list(CALLS)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_an_example_is_ten_lines_at_most(pattern):
    assert len([line for line in pattern.code.splitlines() if line.strip()]) <= 10


def test_every_section_says_when_to_use_it_and_when_not():
    for pattern in PATTERNS:
        assert [pattern.text.count(word) for word in ("**Use it**", "**Costs**", "**Not**")] == [1, 1, 1], pattern.name


def test_every_error_that_is_named_is_one():
    named = set(re.findall(r"`((?:Lock|Row|Not|Inside|Stale|Pooled)[A-Z]\w+)`", TEXT)) - {"LockingQuerySet"}
    assert named
    assert [name for name in named if not issubclass(getattr(locks, name), locks.AdvisoryLockError)] == []
