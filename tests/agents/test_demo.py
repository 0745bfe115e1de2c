"""The simulated fleet: the same seed tells the same story, through the real routes."""

from io import StringIO
from itertools import islice

import pytest
from django.core.management import CommandError, call_command

from agents.adapters import ADAPTERS
from agents.demo.script import story
from agents.events import Noted, Unknown
from agents.models import Agent, Command, HookEvent

CLAUDE = ADAPTERS["claude-code"]


def told(seed, number, run="", steps=400):
    return [step.payload for step in islice(story(seed, number, run), steps)]


def test_same_seed_tells_the_same_story():
    assert told(7, 3) == told(7, 3)


def test_another_seed_tells_another_story():
    assert told(7, 3) != told(8, 3)


def test_another_run_changes_the_ids_alone():
    first, second = told(7, 3), told(7, 3, "again")
    assert first[0]["session_id"] != second[0]["session_id"]
    assert [payload["hook_event_name"] for payload in first] == [payload["hook_event_name"] for payload in second]


@pytest.mark.parametrize("number", range(12))
def test_every_payload_is_one_that_the_adapter_knows(number):
    events = [CLAUDE.parse(payload) for payload in told(1, number)]
    assert not [event for event in events if isinstance(event, Unknown | Noted)]


@pytest.mark.django_db(transaction=True)
def test_fleet_is_seen(live_server):
    out = StringIO()
    call_command("demo", agents=4, speed=50.0, seconds=3.0, server=live_server.url, keep=True, stdout=out)
    assert Agent.objects.filter(host__name="demo").count() == 4
    assert Command.objects.exists()
    assert set(HookEvent.objects.values_list("outcome", flat=True)) == {"applied"}
    assert "4 agents at work" in out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_fleet_ends_its_agents(live_server):
    call_command("demo", agents=3, speed=50.0, seconds=2.0, server=live_server.url, stdout=StringIO())
    assert set(Agent.objects.values_list("presence", flat=True)) == {"ended"}


@pytest.mark.django_db(transaction=True)
def test_dead_server_is_told_in_one_line():
    with pytest.raises(CommandError, match="No Headspace answers"):
        call_command("demo", agents=1, speed=50.0, server="http://127.0.0.1:9", stdout=StringIO())


@pytest.mark.django_db(transaction=True)
def test_wrong_token_is_told_in_one_line(live_server):
    with pytest.raises(CommandError, match="does not know this token"):
        call_command("demo", agents=1, speed=50.0, server=live_server.url, token="hs_wrong", stdout=StringIO())


def test_absurd_fleet_is_refused():
    with pytest.raises(CommandError, match="1 to 500"):
        call_command("demo", agents=0, stdout=StringIO())
