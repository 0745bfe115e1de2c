"""The schedules of the cycles: written once, mended where they differ, and what they name can be called."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils.module_loading import import_string
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from agents.cycles import drainer, reaper
from agents.management.commands.schedule_cycles import SCHEDULES
from agents.models import Agent, HookEvent
from tests.agents.payload_files import payload

pytestmark = pytest.mark.django_db(transaction=True)


def schedule():
    """Run the command and return what it says of each schedule."""
    said = StringIO()
    call_command("schedule_cycles", stdout=said)
    return dict(line.split(": ") for line in said.getvalue().splitlines())


def rows():
    fields = ("name", "func", "schedule_type", "minutes", "repeats", "args", "kwargs")
    return sorted(Schedule.objects.values_list(*fields))


def test_every_cycle_is_scheduled_every_minute_for_ever(transactional_db):
    assert schedule() == dict.fromkeys(SCHEDULES, "created")
    assert [row[:5] for row in rows()] == sorted((name, SCHEDULES[name], "I", 1, -1) for name in SCHEDULES)
    assert set(SCHEDULES) == {reaper.NAME, drainer.NAME}


def test_scheduling_again_changes_nothing(transactional_db):
    schedule()
    before, next_runs = rows(), sorted(Schedule.objects.values_list("pk", "next_run"))
    assert schedule() == dict.fromkeys(SCHEDULES, "unchanged")
    assert (rows(), sorted(Schedule.objects.values_list("pk", "next_run"))) == (before, next_runs)


@pytest.mark.parametrize(
    "difference",
    [{"func": "agents.tasks.gone"}, {"schedule_type": "D"}, {"minutes": 60}, {"repeats": 3}, {"minutes": None}],
    ids=str,
)
def test_a_schedule_that_somebody_changed_is_mended(difference, transactional_db):
    schedule()
    before = rows()
    Schedule.objects.filter(name="reap").update(**difference)
    assert schedule() == {"reap": "mended", "drain": "unchanged"}
    assert rows() == before


def test_a_schedule_that_was_deleted_comes_back_and_others_are_let_alone(transactional_db):
    schedule()
    Schedule.objects.filter(name="drain").delete()
    Schedule.objects.create(name="somebody's own", func="math.sqrt", args="4")
    assert schedule() == {"reap": "unchanged", "drain": "created"}
    assert Schedule.objects.filter(name="somebody's own", func="math.sqrt").exists()


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_a_schedule_names_can_be_called_and_reports(name, transactional_db):
    assert import_string(SCHEDULES[name])() == f"{name}: judged=0 skipped=0 failed=0"


def test_what_is_scheduled_is_queued_by_the_queues_own_scheduler(transactional_db):
    schedule()
    scheduler()
    assert sorted(queued.task["func"] for queued in OrmQ.objects.all()) == sorted(SCHEDULES.values())


def test_the_scheduled_drain_drains(door):
    body = payload("claude-code", "pre-tool-use.write.json")
    with door.wire() as wire:
        wire.ask("POST", "/hook/session-start", json.dumps(body).encode())
    agent = Agent.objects.get()
    HookEvent.objects.create(
        host=agent.host, agent=agent, vendor="claude-code", session_id=agent.session_id, name="UserPromptSubmit",
        key="client:k", received_at=agent.last_seen_at, outcome="pending", payload=body,
    )  # fmt: skip
    assert import_string(SCHEDULES["drain"])() == "drain: judged=1 skipped=0 failed=0 drained=1"
    agent.refresh_from_db()
    assert agent.state == "commanded"
