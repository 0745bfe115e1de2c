import json

import pytest
from django.contrib.staticfiles import finders
from django.db import transaction

from locks import LockNamespace, advisory_lock, labelled
from locks.errors import MonitorTimeout
from tests.agents.answers import problem
from tests.locks.actors import until_waiting

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


@pytest.fixture
def operator(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("operator", is_staff=True))
    return client


@pytest.fixture
def jam(actor):
    """One holder, one waiter: their pids."""
    holder, waiter = actor(), actor()
    for one, who in [(holder, "<b>hook stop"), (waiter, "cycle reap")]:
        one.enter(transaction.atomic())
        one.enter(labelled(who, "c-1"))
    holder.enter(advisory_lock(AGENT, 2**62))
    waiter.start_entering(advisory_lock(AGENT, 2**62))
    until_waiting(waiter)
    return holder.pid, waiter.pid


@pytest.fixture
def too_busy(monkeypatch):
    def snapshot():
        raise MonitorTimeout("The database was too busy.")

    monkeypatch.setattr("locks.views.snapshot", snapshot)


def test_the_api_needs_a_login(client):
    answer = client.get("/api/advisory-locks")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Session realm="headspace"'
    assert problem(answer)["code"] == "not_authenticated"


def test_the_api_answers_with_numbers_that_are_numbers(operator, jam):
    answer = operator.get("/api/advisory-locks")
    body = json.loads(answer.content)
    held, waiting = body["locks"]

    assert answer["Content-Type"] == "application/json"
    assert body["count"] == 2
    assert set(body["recent"]) == {"timeouts", "skips", "waits_over_1s", "lost"}
    assert (held["key"], held["pid"], held["blocks"]) == (2**62, jam[0], [jam[1]])
    assert (waiting["blocked_by"], waiting["granted"]) == ([jam[0]], False)
    assert isinstance(held["held_seconds"], float)
    assert isinstance(waiting["wait_seconds"], float)


def test_the_api_names_its_fields_as_agreed(operator, jam):
    fields = set(json.loads(operator.get("/api/advisory-locks").content)["locks"][0])

    assert fields == {
        *("namespace", "key", "agent", "mode", "granted", "pid", "holder", "correlation_id"),
        *("held_seconds", "wait_seconds", "blocked_by", "blocks", "scope", "client"),
    }


def test_the_api_says_so_when_the_database_is_too_busy(operator, too_busy):
    answer = operator.get("/api/advisory-locks")

    assert answer.status_code == 503
    assert problem(answer)["code"] == "monitor_timeout"
    assert "too busy" in answer.json()["detail"]
    assert int(answer["Retry-After"]) > 0


def test_the_page_needs_a_login(client):
    answer = client.get("/locks/")

    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_the_page_shows_the_root_of_the_jam_and_who_waits_behind_it(operator, jam):
    page = operator.get("/locks/").content.decode()

    assert "1 session in the way of others" in page
    root, waiter = page.index(f"pid {jam[0]}"), page.index(f"pid {jam[1]}")
    assert root < waiter
    assert "idle in transaction" in page
    assert "<b>hook" not in page
    assert "&lt;b&gt;hook stop" in page
    assert "refresh.js" in page


def test_the_pages_live_part_comes_alone(operator, jam):
    part = operator.get("/locks/?part").content.decode()

    assert f"pid {jam[0]}" in part
    assert "<html" not in part


def test_the_page_says_when_nobody_waits(operator):
    page = operator.get("/locks/").content.decode()

    assert "Nobody waits" in page
    assert "No advisory lock is held" in page


def test_the_page_says_so_when_the_database_is_too_busy(operator, too_busy):
    answer = operator.get("/locks/")

    assert answer.status_code == 503
    assert "too busy" in answer.content.decode()


@pytest.mark.parametrize("name", ["locks/locks.css", "locks/refresh.js"])
def test_what_the_page_asks_for_is_there(name):
    assert finders.find(name)


def test_the_counts_are_shown_in_the_admin_and_can_not_be_edited(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root"))

    assert client.get("/admin/locks/minute/").status_code == 200
    assert client.get("/admin/locks/minute/add/").status_code == 403
