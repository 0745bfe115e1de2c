import json
import re
from datetime import timedelta

import pytest
from django.contrib.staticfiles import finders
from django.db import connection, transaction
from django.utils import translation

from locks import LockNamespace, advisory_lock, labelled
from locks.errors import MonitorTimeout
from locks.models import Incident, Minute, Termination
from tests.agents.answers import problem
from tests.locks.actors import ask, until_waiting
from tests.locks.audit import forget_counts, forget_terminations

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = LockNamespace.AGENT


@pytest.fixture(autouse=True)
def nothing_is_on_record(transactional_db):
    forget_counts()
    yield
    forget_terminations()


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
def told(transactional_db):
    """One incident within a minute, and ten seconds waited in it."""
    now = ask("SELECT now()")
    Incident.objects.create(
        at=now, kind="timeouts", namespace=1, key=7, asker="<i>cycle reap", seconds=10, holder="hook stop"
    )
    minute = now.replace(second=0, microsecond=0)
    Minute.objects.create(minute=minute, timeouts=1, lost=1, waited_seconds=10, longest_wait=10)


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
        # More than was agreed:
        *("name", "held_at_most", "queue_position", "ghost"),
    }


def test_the_api_says_how_full_the_servers_table_is_and_what_went_badly(operator, told):
    body = json.loads(operator.get("/api/advisory-locks").content)

    assert set(body) == {"count", "locks", "recent", "room", "incidents"}
    assert 0 < body["room"]["taken"] < body["room"]["nominal"]
    assert [incident["asker"] for incident in body["incidents"]] == ["<i>cycle reap"]


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


def test_the_page_says_how_many_wait_and_in_which_order(operator, jam, actor):
    last = actor()
    last.enter(transaction.atomic())
    last.start_entering(advisory_lock(AGENT, 2**62))
    until_waiting(last)
    page = re.sub(r"\s+", " ", operator.get("/locks/").content.decode())

    assert "<dt>wait behind it</dt><dd>2</dd>" in page
    queue = page[page.index("locks-queue") :]
    places = re.findall(r'locks-place">(\d*)<', queue)
    assert places == ["1", "2"]
    assert queue.index(f"pid {jam[1]}") < queue.index(f"pid {last.pid}")
    assert "waits, next" in page
    assert "waits, no. 2" in page


def test_the_page_marks_what_nobody_accounts_for(operator, actor):
    actor().do(ask, "SELECT pg_advisory_lock(-5)")

    assert "held by an idle connection" in operator.get("/locks/").content.decode()


def test_the_page_draws_the_hour_and_says_it_in_words(operator, told):
    page = operator.get("/locks/").content.decode()

    assert page.count('class="locks-bar"') == page.count('class="locks-timeout"') == page.count("locks-loss") == 1
    assert re.search(r"<desc[^>]*>In the last hour locks were waited for 10.00 s in all", page)
    assert re.search(r"\d min ago: waited 10.00 s, the longest 10.00 s, timeouts 1, lost 1", page)


def test_the_page_tells_what_went_badly_in_sentences(operator, told):
    page = operator.get("/locks/").content.decode()

    assert "&lt;i&gt;cycle reap gave up on AGENT 7 after 10.00 s; hook stop held it." in page
    assert "<i>cycle" not in page


def test_the_page_has_something_to_say_where_nothing_happened(operator):
    page = operator.get("/locks/").content.decode()

    assert page.count("Nobody had to wait for a lock in the last hour.") == 2
    assert "Nothing went badly within a day." in page


def test_the_page_shows_first_what_matters_where_there_is_much(operator, jam, actor, monkeypatch):
    monkeypatch.setattr("locks.views._MOST_ROWS", 3)
    actor().do(ask, "SELECT count(pg_advisory_lock(key)) FROM generate_series(1, 50) AS key")
    page = operator.get("/locks/").content.decode()
    rows = page[page.index("<tbody>") : page.index("</tbody>")]

    assert rows.count("<tr") == 3
    assert all(f"pid {pid}" in rows for pid in jam)
    assert "These 3 matter most" in page


def test_the_page_is_the_same_in_every_language(operator, told):
    with translation.override("de"):
        page = operator.get("/locks/?part").content.decode()

    assert not re.search(r'(?:x|y|cx|width|height|value|max)="\d+,\d', page)


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


def test_the_page_does_not_wait_for_who_locks_the_table_of_minutes(operator, actor, monkeypatch):
    monkeypatch.setattr("locks.monitor.STATEMENT_TIMEOUT", timedelta(milliseconds=200))
    alterer = actor()
    alterer.enter(transaction.atomic())
    alterer.do(_lock_minutes)

    assert operator.get("/locks/").status_code == 503


def _lock_minutes():
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE locks_minute IN ACCESS EXCLUSIVE MODE")


@pytest.mark.parametrize("name", ["locks/locks.css", "locks/refresh.js"])
def test_what_the_page_asks_for_is_there(name):
    assert finders.find(name)


def test_the_counts_are_shown_in_the_admin_and_can_not_be_edited(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root"))

    assert client.get("/admin/locks/minute/").status_code == 200
    assert client.get("/admin/locks/minute/add/").status_code == 403


@pytest.mark.parametrize("name", ["incident", "termination"])
def test_what_happened_is_shown_in_the_admin_and_can_not_be_edited(client, django_user_model, told, name):
    client.force_login(django_user_model.objects.create_superuser("root"))
    Termination.objects.create(asked_at=ask("SELECT now()"), by="ada@here", pid=1, outcome="ended")
    one = {"incident": Incident, "termination": Termination}[name].objects.get()

    shown = client.get(f"/admin/locks/{name}/").content.decode()
    assert {"incident": "gave up on AGENT 7", "termination": "ada@here"}[name] in shown
    assert client.get(f"/admin/locks/{name}/{one.pk}/change/").status_code == 200
    assert client.post(f"/admin/locks/{name}/{one.pk}/change/", {"by": "another"}).status_code == 403
    assert client.get(f"/admin/locks/{name}/add/").status_code == 403
    assert client.post(f"/admin/locks/{name}/{one.pk}/delete/", {"post": "yes"}).status_code == 403


def test_incidents_are_filtered_by_kind_and_time_in_the_admin(client, django_user_model, told):
    client.force_login(django_user_model.objects.create_superuser("root"))
    Incident.objects.create(
        at=ask("SELECT now() - interval '5 hours'"), kind="lost", namespace=1, key=8, asker="hook stop", seconds=0
    )

    def found(query):
        shown = client.get(f"/admin/locks/incident/?{query}").content.decode()
        return "gave up on AGENT 7" in shown, "hook stop lost AGENT 8" in shown

    assert [found(query) for query in ("", "kind__exact=lost", "hours=1", "hours=6")] == [
        (True, True),
        (False, True),
        (True, False),
        (True, True),
    ]
