"""What a hook costs PostgreSQL: a flush that is added is felt by every hook, so it has to be decided on here."""

from contextlib import suppress

import pytest
from django.db import DatabaseError, connection, transaction

from agents.hosts import add_host
from agents.models import Agent, HookEvent
from tests.bench.scenes import SCENES, cost_of
from tests.bench.wire import TRACEABLE, counted

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not TRACEABLE, reason="the driver traces its messages on Linux alone"),
]

# How often the hook waits for the server's answer, and how many transactions it ends.
COSTS = {
    "tool call": (1, 1),
    "tool call, agent new to the process": (2, 2),
    "tool call, after a hook at the other process": (2, 2),
    "change of state: stop": (1, 1),
    "change of state: prompt": (1, 1),
    "change of state: permission": (1, 1),
    "change of state: session end": (1, 1),
    "change of state: stop, agent new to the process": (2, 2),
    "first hook of a session": (21, 2),
    "first hook of a session whose start was lost": (21, 2),
    "duplicate": (1, 1),
    "agent stays busy": (3, 2),
    "behind one that waits": (14, 2),
}
MOST_FOR_A_CHANGE = 4
OUTCOMES = {"duplicate": "duplicate", "agent stays busy": "pending"}


@pytest.fixture
def token():
    return add_host("laptop")[1]


@pytest.mark.parametrize("name", SCENES)
def test_a_hook_costs_what_it_is_known_to_cost(name, token):
    cost = cost_of(name, token)
    assert (cost["flushes"], cost["commits"]) == COSTS[name]
    assert cost["outcome"] == OUTCOMES.get(name, "applied")


def test_a_change_of_state_costs_four_flushes_at_most():
    assert max(flushes for name, (flushes, _) in COSTS.items() if name.startswith("change")) <= MOST_FOR_A_CHANGE


@pytest.mark.parametrize("name", [name for name in SCENES if name.startswith("change")])
def test_the_scenes_of_a_change_do_change_the_state(name, token):
    cost_of(name, token)
    agent = Agent.objects.get()
    assert agent.changes.order_by("pk").last().event == HookEvent.objects.order_by("pk").last()


def test_a_flush_that_is_added_is_seen(token):
    def with_one_more(execute, sql, params, many, context):
        with context["connection"].connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(with_one_more):
        assert cost_of("tool call", token)["flushes"] == 1 + COSTS["tool call"][0]


def test_everything_that_is_sent_is_counted():
    with counted(connection) as wire, connection.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT 2")
        with transaction.atomic():
            Agent.objects.count()
        with suppress(DatabaseError), transaction.atomic():
            cursor.execute("SELECT 1/0")
    whole, failed = ["BEGIN", "count", "COMMIT"], ["BEGIN", "ROLLBACK"]
    assert wire.counts == {
        "statements": 2 + len(whole) + len(failed),
        "flushes": 1 + len(whole) + len(failed) + 1,
        "commits": 2,
    }
