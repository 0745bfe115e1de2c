"""The API's histories of an agent, and its errors."""

import json

import pytest
from django.db import OperationalError
from rest_framework.exceptions import Throttled

from agents.api import AgentsView
from tests.agents.answers import ids, problem
from tests.agents.rows import before, make_agent, make_change, make_command, make_event, make_turn

pytestmark = pytest.mark.django_db

COMMAND_FIELDS = {"id", "state", "prompt", "summary", "started_at", "completed_at", "outcome"}
HISTORIES = ["commands", "turns", "events", "changes"]


@pytest.fixture
def reader(client, django_user_model):
    """A client that is logged in, as nobody special."""
    client.force_login(django_user_model.objects.create_user("ada"))
    return client


@pytest.fixture
def history():
    """An agent that did everything twice, and another one that is not to be seen."""
    for agent in (make_agent("other"), make_agent("one")):
        past = make_command(agent, "complete", prompt="First", started_at=before(minutes=50), outcome="failed")
        present = make_command(agent, "processing", prompt="Second", started_at=before(minutes=5))
        for command in (past, present):
            make_turn(command, text=command.prompt, said_at=command.started_at)
            event = make_event(agent, name=command.prompt, answer={"decision": "deny"}, payload={"secret": "x"})
            make_change(agent, command=command, event=event, before="commanded", after="processing", version=9)
    return agent


@pytest.mark.parametrize("rows", HISTORIES)
def test_a_history_is_that_of_one_agent_the_newest_first(reader, history, rows):
    found = ids(reader.get(f"/api/agents/{history.pk}/{rows}"))
    newest_first = getattr(history, rows).order_by("-pk").values_list("pk", flat=True)
    assert found == list(newest_first)
    pages = reader.get(f"/api/agents/{history.pk}/{rows}?limit=1")
    assert ids(pages) + ids(reader.get(pages.json()["next"])) == found[:2]


def test_a_command_has_its_fields_and_no_outcome_while_it_is_open(reader, history):
    present, past = reader.get(f"/api/agents/{history.pk}/commands").json()["results"]
    assert set(present) >= COMMAND_FIELDS
    assert [present["state"], present["prompt"], present["outcome"], present["completed_at"]] == [
        "processing", "Second", None, None,
    ]  # fmt: skip
    assert [past["state"], past["outcome"]] == ["complete", "failed"]


def test_an_event_is_shown_with_its_answer_and_without_its_payload(reader, history):
    newest = reader.get(f"/api/agents/{history.pk}/events").json()["results"][0]
    assert [newest["name"], newest["outcome"], newest["answer"]] == ["Second", "applied", {"decision": "deny"}]
    assert "secret" not in json.dumps(newest)


def test_a_change_names_what_it_rests_on(reader, history):
    newest = reader.get(f"/api/agents/{history.pk}/changes").json()["results"][0]
    assert [newest["before"], newest["after"], newest["version"]] == ["commanded", "processing", 9]
    assert newest["event"] == history.events.order_by("-pk")[0].pk


@pytest.mark.parametrize("rows", HISTORIES)
def test_a_history_costs_the_same_however_long_it_is(reader, history, rows, django_assert_num_queries):
    with django_assert_num_queries(4):  # session, user, the agent, its rows
        reader.get(f"/api/agents/{history.pk}/{rows}")


# -- errors -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", *(f"/{name}" for name in HISTORIES)])
@pytest.mark.parametrize("agent_id", [1, 10**30])
def test_an_agent_that_is_not_there_is_not_found(reader, path, agent_id):
    refused = problem(reader.get(f"/api/agents/{agent_id}{path}"))
    assert (refused["status"], refused["code"]) == (404, "not_found")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_written(reader, method):
    agent = make_agent()
    for path in ("/api/agents", f"/api/agents/{agent.pk}", f"/api/agents/{agent.pk}/turns"):
        assert problem(getattr(reader, method)(path))["code"] == "method_not_allowed"


def test_a_program_that_wants_html_is_told_what_there_is(reader):
    assert problem(reader.get("/api/agents", headers={"Accept": "text/html"}))["status"] == 406


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("SELECT secret FROM /srv/headspace"), 500, "internal_error"),
        (OperationalError("connection to 10.0.0.7 failed"), 503, "unavailable"),
        (Throttled(), 429, "throttled"),
    ],
)
def test_an_error_says_what_to_do_and_keeps_what_it_is_to_the_log(reader, caplog, monkeypatch, error, status, code):
    def fail(view, request):
        raise error

    monkeypatch.setattr(AgentsView, "get", fail)
    caplog.set_level("INFO")
    document = problem(reader.get("/api/agents"))
    assert (document["status"], document["code"]) == (status, code)
    assert "10.0.0.7" not in str(document)
    assert "SELECT" not in str(document)
    assert document["correlation_id"] in caplog.text
