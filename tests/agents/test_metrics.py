"""The numbers for Prometheus, and who may read them."""

import pytest
from django.db import OperationalError, connection
from prometheus_client.parser import text_string_to_metric_families

from agents.metrics import registry
from agents.models import HookEvent
from locks.counts import tally
from locks.errors import MonitorTimeout
from tests.agents.rows import before, make_agent, make_command, make_ended_agent, make_event, make_wait

pytestmark = pytest.mark.django_db


def numbers(client, **extra):
    response = client.get("/metrics", **extra)
    assert response.status_code == 200
    families = text_string_to_metric_families(response.content.decode())
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_agents_are_counted_by_presence_and_state(client):
    make_command(make_agent(), "awaiting_input")
    make_command(make_agent(), "processing")
    make_command(make_agent(presence="unknown"), "processing")
    make_command(make_agent(), "complete")
    make_agent()
    make_ended_agent()
    found = numbers(client)
    agents = {key[1:]: value for key, value in found.items() if key[0] == "headspace_agents" and value}
    assert agents == {
        ("alive", "awaiting_input"): 1,
        ("alive", "processing"): 1,
        ("alive", "idle"): 2,
        ("unknown", "processing"): 1,
        ("ended", "idle"): 1,
    }
    assert found["headspace_agents", "alive", "commanded"] == 0


def test_open_waits_are_counted_by_what_is_asked(client):
    command = make_command(make_agent(), "awaiting_input")
    make_wait(command, asking="question")
    make_wait(command, asking="permission", closed_at=before())
    found = numbers(client)
    assert found["headspace_open_waits", "question"] == 1
    assert found["headspace_open_waits", "permission"] == 0


def test_the_inbox_is_counted_with_the_age_of_its_oldest(client):
    agent = make_agent()
    make_event(agent, outcome="pending", received_at=before(seconds=90))
    make_event(agent, outcome="pending")
    found = numbers(client)
    assert found["headspace_pending_hooks",] == 2
    assert 90 <= found["headspace_oldest_pending_hook_seconds",] < 150


def test_an_empty_inbox_has_no_age(client):
    assert numbers(client)["headspace_oldest_pending_hook_seconds",] == 0


def test_hooks_of_the_last_minutes_are_counted_by_outcome(client):
    agent = make_agent()
    for outcome in ("applied", "applied", "late"):
        make_event(agent, outcome=outcome)
    make_event(agent, outcome="refused", received_at=before(minutes=6))
    found = numbers(client)
    assert [found["headspace_recent_hooks", outcome] for outcome in ("applied", "late", "refused")] == [2, 1, 0]


def test_hooks_are_counted_however_many_the_last_minutes_had(client):
    agent, old, new = make_agent(), before(minutes=6), before(minutes=4)
    HookEvent.objects.bulk_create(
        HookEvent(host=agent.host, key=f"{n}", received_at=at, applied_at=at, outcome="applied")
        for n, at in enumerate([old] * 1500 + [new] * 1500)
    )
    assert numbers(client)["headspace_recent_hooks", "applied"] == 1500


def test_troubles_with_locks_are_counted(client):
    before_it = numbers(client)["headspace_recent_lock_troubles", "timeouts"]
    tally.add("timeouts")
    assert numbers(client)["headspace_recent_lock_troubles", "timeouts"] == before_it + 1


def test_the_locks_tell_of_themselves(client):
    found = numbers(client)
    assert found["locks_held",] == found["locks_waiting",] == 0
    assert found["locks_table_nominal",] > 0


def test_where_the_monitor_is_too_slow_there_are_still_those_of_the_process(client, monkeypatch):
    def too_slow():
        raise MonitorTimeout("too slow")

    monkeypatch.setattr("agents.metrics.families", too_slow)
    found = numbers(client)
    assert found["headspace_database_up",] == 0
    assert "process_resident_memory_bytes" in {key[0] for key in found}


def test_the_process_tells_of_itself(client):
    found = numbers(client)
    assert found["process_resident_memory_bytes",] > 1_000_000
    assert found["headspace_database_up",] == 1


def test_they_cost_the_same_however_much_there_is_to_count(client, django_assert_max_num_queries):
    for count in (1, 30):
        for _ in range(count):
            make_event(make_command(make_agent()).agent, outcome="pending")
        with django_assert_max_num_queries(21):
            numbers(client)


def test_without_a_database_there_are_still_those_of_the_process(client, monkeypatch):
    def refuse(*args):
        raise OperationalError("the server is gone")

    with connection.execute_wrapper(refuse):
        found = numbers(client)
    assert found["headspace_database_up",] == 0
    assert "process_resident_memory_bytes" in {key[0] for key in found}
    assert "headspace_agents" not in {key[0] for key in found}


def test_nothing_that_a_library_registers_for_itself_comes_in():
    names = {family.name for family in registry().collect()}
    assert all(name.startswith(("headspace_", "locks_", "process_", "python_gc_")) for name in names)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_read_them(client, address):
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7", "", "unix:", "127.0.0.1, 192.0.2.7"])
def test_others_may_not(client, address):
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_who_comes_through_a_proxy_of_this_machine_may_not(client, header):
    assert client.get("/metrics", headers={header: "192.0.2.7"}).status_code == 403


@pytest.mark.parametrize(("staff", "status"), [(True, 200), (False, 403)])
def test_staff_may_read_them_from_everywhere(client, django_user_model, staff, status):
    client.force_login(django_user_model.objects.create_user("ada", is_staff=staff))
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7").status_code == status
