"""The API that reads: its login, fields, filters, pages, versions and errors."""

import pytest
from django.db import OperationalError, connection
from django.urls import get_resolver

from agents.api import AgentsView
from agents.models import Agent
from tests.agents.answers import ids, problem
from tests.agents.rows import (
    before,
    make_agent,
    make_command,
    make_ended_agent,
    make_event,
    make_host,
    make_wait,
)

pytestmark = pytest.mark.django_db

AGENT_FIELDS = {
    "id", "vendor", "generation", "version", "session_id", "session_ids", "host", "project", "cwd", "model", "presence",
    "state", "reason", "evidence", "mode", "ambiguous", "waits", "window", "context_used_percent", "cost_usd",
    "started_at", "last_seen_at", "ended_at", "end_reason", "parent", "predecessor",
}  # fmt: skip
HISTORIES = ["commands", "turns", "events", "changes"]


@pytest.fixture
def reader(client, django_user_model):
    """A client that is logged in, as nobody special."""
    client.force_login(django_user_model.objects.create_user("ada"))
    return client


# -- the login ----------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/1", *(f"/1/{name}" for name in HISTORIES)])
def test_who_is_not_logged_in_is_told_so(client, path):
    response = client.get(f"/api/agents{path}")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Session realm="headspace"'
    assert problem(response)["code"] == "not_authenticated"


def test_a_login_that_was_switched_off_is_none(reader, django_user_model):
    django_user_model.objects.update(is_active=False)
    assert reader.get("/api/agents").status_code == 401


# -- what is none -------------------------------------------------------------

NOTHING = [
    "/api", "/api/", "/api/nothing", "/api/agents/abc", "/api/agents/", "/api/agents/1/", "/api/agents/1/actions",
    "/api/agents/1/turns/", "/api/advisory-locks/", "/api/%0a", "/hookworm",
]  # fmt: skip


@pytest.mark.parametrize("path", NOTHING)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_that_is_none_is_told_so_without_a_page_or_a_redirect(client, method, path):
    response = client.generic(method, path, headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert problem(response)["code"] == "not_found"


def test_no_address_of_the_api_is_redirected_to():
    """Django would answer a redirect where the same address with a slash is one."""
    routes = [str(route.pattern) for door in get_resolver().url_patterns for route in getattr(door, "url_patterns", [])]
    found = [route for route in routes if route.startswith("api/")]
    assert len(found) > 5
    assert [route for route in found if route.endswith("/")] == []


def test_an_agent_that_is_none_is_told_so(reader):
    response = reader.get("/api/agents/1")
    assert response.status_code == 404
    assert problem(response)["code"] == "not_found"


@pytest.mark.parametrize("path", ["/nothing", "/apis", "/agents/1/api/", "/locks/nothing"])
def test_a_person_gets_a_page(client, path):
    response = client.get(path)
    assert (response.status_code, response.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_a_name_that_is_not_ours_is_told_so(client):
    response = client.get("/api/agents", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert problem(response)["code"] == "bad_request"
    assert int(response.headers["Content-Length"]) == len(response.content)  # else it would leave in chunks
    assert "html" in client.get("/", headers={"Host": "evil.example"}).headers["Content-Type"]


def test_what_fails_outside_of_a_view_is_told_with_an_id_that_the_log_has(client, monkeypatch, caplog):
    monkeypatch.setattr(AgentsView, "dispatch", lambda *args, **kwargs: 1 / 0)
    client.raise_request_exception = False
    response = client.get("/api/agents")
    assert response.status_code == 500
    found = problem(response)
    assert found["code"] == "internal_error"
    assert "ZeroDivisionError" not in response.content.decode()
    assert any(
        record.levelname == "ERROR" and found["correlation_id"] in record.getMessage() for record in caplog.records
    )


def test_a_database_that_does_not_answer_is_told_with_the_time_to_come_again(reader, monkeypatch):
    def lost(*args):
        raise OperationalError("connection to 10.0.0.7 failed")

    monkeypatch.setattr(AgentsView, "get", lost)
    response = reader.get("/api/agents")
    assert response.status_code == 503
    assert problem(response)["code"] == "unavailable"
    assert "10.0.0.7" not in response.content.decode()
    assert int(response.headers["Retry-After"]) > 0


# -- an agent -----------------------------------------------------------------


def test_an_agent_has_all_its_fields(reader):
    parent = make_agent("lead")
    agent = make_agent(
        "checkout", parent=parent, predecessor=parent, ambiguous="two processes", cwd="/src", version=7, pid=4711,
        process_started="88", process_place="here", last_event="Stop", context_used_percent="41.50", cost_usd="1.25",
        window_until=before(hours=-1), reason="a person is asked", mode="hold", model="opus",
    )  # fmt: skip
    command = make_command(agent, "awaiting_input")
    wait = make_wait(command, use_id="toolu_1")
    make_wait(command, closed_at=before(), closed_by="answered")
    found = reader.get(f"/api/agents/{agent.pk}").json()
    assert set(found) >= AGENT_FIELDS
    told = {name: found[name] for name in ("id", "host", "project", "state", "command", "mode", "ambiguous", "version")}
    assert told == {
        "id": agent.pk, "host": "laptop", "project": "checkout", "state": "awaiting_input", "command": command.pk,
        "mode": "hold", "ambiguous": "two processes", "version": 7,
    }  # fmt: skip
    assert [found["parent"], found["predecessor"]] == [parent.pk, parent.pk]
    assert [found["context_used_percent"], found["cost_usd"]] == [41.5, 1.25]
    assert found["window"] == {"until": agent.window_until.isoformat().replace("+00:00", "Z")}
    assert [(row["id"], row["asking"], row["tool_name"], row["text"]) for row in found["waits"]] == [
        (wait.pk, "permission", "Bash", "git push")
    ]


def test_the_evidence_names_its_witnesses_with_their_ages(reader):
    agent = make_agent(last_event="Stop", last_seen_at=before(seconds=30), pid=4711, process_started="88")
    hook, process = reader.get(f"/api/agents/{agent.pk}").json()["evidence"]
    assert (hook["witness"], hook["says"]) == ("hook", "Stop")
    assert 30 <= hook["age_seconds"] < 60
    assert (process["witness"], process["says"]["pid"], process["age_seconds"]) == ("process", 4711, None)


def test_an_idle_agent_has_nothing_open(reader):
    agent = make_command(make_agent(), "complete").agent
    found = reader.get(f"/api/agents/{agent.pk}").json()
    assert [found[name] for name in ("state", "command", "waits", "window", "ambiguous", "ended_at")] == [
        "idle", None, [], None, None, None,
    ]  # fmt: skip


def test_all_sessions_of_an_agent_are_named(reader):
    agent = make_agent(session_id="first")
    agent.sessions.update(ended_at=before())
    agent.sessions.create(host=agent.host, vendor=agent.vendor, session_id="second", started_at=before())
    assert reader.get(f"/api/agents/{agent.pk}").json()["session_ids"] == ["first", "second"]


def test_the_version_is_the_etag(reader):
    agent = make_agent(version=7)
    path = f"/api/agents/{agent.pk}"
    assert reader.get(path).headers["ETag"] == '"7"'
    known = reader.get(path, headers={"If-None-Match": '"7"'})
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", '"7"')
    Agent.objects.update(version=8)
    fresh = reader.get(path, headers={"If-None-Match": '"7"'})
    assert (fresh.status_code, fresh.headers["ETag"], fresh.json()["version"]) == (200, '"8"', 8)


# -- the list -----------------------------------------------------------------


@pytest.fixture
def fleet():
    """Five agents by name."""
    return {
        "asking": make_command(make_agent("web", mode="hold"), "awaiting_input").agent.pk,
        "working": make_command(make_agent("api"), "processing", prompt="Upgrade the client").agent.pk,
        "told": make_command(make_agent("web", make_host("tower")), "commanded").agent.pk,
        "idle": make_command(make_agent("docs", presence="unknown"), "complete").agent.pk,
        "ended": make_ended_agent(project="docs").pk,
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "ended idle told working asking"),
        ("state=awaiting_input", "asking"),
        ("state=processing", "working"),
        ("state=commanded", "told"),
        ("state=idle", "ended idle"),
        ("state=idle&presence=ended", "ended"),
        ("state=complete", ""),
        ("presence=unknown", "idle"),
        ("mode=hold", "asking"),
        ("host=tower", "told"),
        ("project=web", "told asking"),
        ("project=web&host=laptop", "asking"),
        ("q=upgrade", "working"),
        ("q=tower", "told"),
        ("host=nowhere", ""),
        ("host=%00tower", "told"),
    ],
)
def test_the_list_can_be_filtered(reader, fleet, query, found):
    assert ids(reader.get(f"/api/agents?{query}")) == [fleet[name] for name in found.split()]


@pytest.mark.parametrize("query", ["state=asleep", "presence=here", "mode=fast"])
def test_a_word_that_is_none_of_ours_is_refused(reader, query):
    refused = problem(reader.get(f"/api/agents?{query}"))
    assert (refused["status"], refused["code"]) == (400, "invalid_query")
    assert query.partition("=")[0] in refused["detail"]


def test_pages_follow_each_other_while_agents_are_added(reader):
    agents = [make_agent().pk for _ in range(5)]
    first = reader.get("/api/agents?limit=2")
    make_agent()
    second = reader.get(first.json()["next"])
    third = reader.get(second.json()["next"])
    assert ids(first) + ids(second) + ids(third) == agents[::-1]
    assert third.json() == {"results": third.json()["results"], "next": None}


def test_a_page_has_no_more_than_two_hundred(reader):
    agent = make_agent()
    for number in range(205):
        make_event(agent, name=f"Number{number}")
    assert len(ids(reader.get(f"/api/agents/{agent.pk}/events"))) == 50
    assert len(ids(reader.get(f"/api/agents/{agent.pk}/events?limit=9999"))) == 200


@pytest.mark.parametrize(
    "cursor", ["x", "cD1ub3RhbnVtYmVy", "cD0lMDA=", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "bz0xMDAw"]
)
@pytest.mark.parametrize("rows", ["", "commands", "turns", "events", "changes"])
def test_a_cursor_that_was_never_given_out_is_no_error_of_ours(reader, cursor, rows):
    agent = make_agent()
    response = reader.get(f"/api/agents{f'/{agent.pk}/{rows}' if rows else ''}?cursor={cursor}")
    assert response.status_code == 200 or problem(response)["code"] == "invalid_query"


# -- what they cost -----------------------------------------------------------


def test_the_list_costs_the_same_for_five_agents_and_for_fifty(reader, django_assert_num_queries):
    for count in (5, 45):
        for _ in range(count):
            make_wait(make_command(make_agent(), "awaiting_input"))
        with django_assert_num_queries(6):  # session, user, agents, open commands, open waits, sessions
            assert len(ids(reader.get("/api/agents?limit=200"))) >= count


def test_a_query_for_a_state_reads_an_index(reader):
    """A fleet's past is long: what is open now must be found without reading it."""
    agent = make_agent()
    for _ in range(2000):
        make_command(agent, "complete")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE agents_command")
        cursor.execute("EXPLAIN SELECT 1 FROM agents_command WHERE agent_id = 1 AND NOT state = 'complete'")
        assert "command_one_open_per_agent" in str(cursor.fetchall())
