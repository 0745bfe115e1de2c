"""The admin: every row can be looked up, none can be changed, and long lists open at once."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.db.models import CharField, TextField
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.admin.history import HookEventAdmin
from agents.models import HookEvent
from locks.models import Minute
from tests.agents.rows import (
    before,
    make_agent,
    make_change,
    make_command,
    make_ended_agent,
    make_event,
    make_host,
    make_turn,
    make_wait,
)

pytestmark = pytest.mark.django_db

MODELS = list(apps.get_app_config("agents").get_models())
NAMES = [model._meta.model_name for model in MODELS]
ALL_OF_OURS = [*MODELS, *apps.get_app_config("locks").get_models()]


@pytest.fixture
def operator(client, django_user_model):
    """A client that is logged in as somebody who may do everything."""
    client.force_login(django_user_model.objects.create_superuser("ada"))
    return client


def fill(count=1):
    """Make rows of every kind."""
    for number in range(count):
        agent = make_agent(f"project-{number}", make_host(f"host-{number}"))
        command = make_command(agent, "awaiting_input")
        make_turn(command)
        make_wait(command)
        make_change(agent, command=command, event=make_event(agent))
    return agent


def changelist(model, query=""):
    return reverse(f"admin:agents_{model}_changelist") + query


def shown(response):
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


# -- everything can be found --------------------------------------------------


@pytest.mark.parametrize("model", ALL_OF_OURS, ids=lambda model: model._meta.label)
def test_every_model_is_there_with_columns_filters_and_a_search_of_its_texts(model):
    its = admin.site.get_model_admin(model)
    has_text = any(isinstance(field, CharField | TextField) for field in model._meta.concrete_fields)
    assert list(its.list_display) != ["__str__"]
    assert its.list_filter or its.date_hierarchy
    assert its.search_fields or not has_text


@pytest.mark.parametrize(("query", "found"), [("", 3), ("?hours=1", 1), ("?hours=6", 2), ("?hours=x", 3)])
def test_minutes_can_be_filtered_by_time(operator, query, found):
    Minute.objects.bulk_create(Minute(minute=before(minutes=minutes)) for minutes in (30, 300, 1000))
    assert len(shown(operator.get(reverse("admin:locks_minute_changelist") + query))) == found


# -- nothing can be changed ---------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_nothing_can_be_added_changed_or_deleted_even_by_a_superuser(operator, model):
    fill()
    name, row = model._meta.model_name, model.objects.first()
    kept = list(model.objects.values())
    assert operator.get(reverse(f"admin:agents_{name}_add")).status_code == 403
    assert operator.post(reverse(f"admin:agents_{name}_add"), {}).status_code == 403
    assert operator.post(reverse(f"admin:agents_{name}_change", args=[row.pk]), {"mode": "hold"}).status_code == 403
    assert operator.post(reverse(f"admin:agents_{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    operator.post(changelist(name), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert list(model.objects.values()) == kept


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_every_row_can_be_looked_at(operator, model):
    fill()
    name = model._meta.model_name
    page = operator.get(reverse(f"admin:agents_{name}_change", args=[model.objects.first().pk]))
    assert page.status_code == 200
    assert b'type="submit"' not in page.content.split(b'id="content-main"')[1]


def test_it_is_called_headspace(operator):
    assert b"Headspace" in operator.get("/admin/").content


# -- hosts --------------------------------------------------------------------


def test_a_host_shows_its_hint_and_never_its_digest(operator):
    host = make_host("laptop")
    for path in (changelist("host"), reverse("admin:agents_host_change", args=[host.pk])):
        page = operator.get(path).content.decode()
        assert host.token_hint in page
        assert host.token_digest not in page


def test_a_host_counts_its_living_agents(operator):
    make_agent()
    make_agent()
    make_ended_agent()
    (host,) = operator.get(changelist("host")).context["cl"].result_list
    assert host.living == 2


# -- agents -------------------------------------------------------------------


def test_an_agent_shows_state_age_and_reason(operator):
    agent = make_agent("checkout", reason="a person is asked", mode="hold", ambiguous="two processes")
    make_command(agent, "awaiting_input", started_at=before(minutes=4))
    page = operator.get(changelist("agent")).content.decode()
    for words in (f"checkout · #{agent.pk}", "awaiting input", "4 min", "a person is asked", "hold", "two processes"):
        assert f">{words}<" in page


@pytest.mark.parametrize("state", ["idle", "commanded", "processing", "awaiting_input"])
def test_agents_can_be_filtered_by_state(operator, state):
    agents = {name: make_command(make_agent(), name).agent.pk for name in ("commanded", "processing", "awaiting_input")}
    agents["idle"] = make_command(make_agent(), "complete").agent.pk
    assert shown(operator.get(changelist("agent", f"?state={state}"))) == [agents[state]]


def test_a_state_that_is_none_filters_nothing(operator):
    make_agent()
    assert len(shown(operator.get(changelist("agent", "?state=asleep")))) == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [("?q=checkout", True), ("?q=laptop", True), ("?q=upgrade", True), ("?q=nowhere", False), ("?q=%00", True)],
)
def test_agents_can_be_searched(operator, query, found):
    make_command(make_agent("checkout"), prompt="Upgrade the client")
    assert bool(shown(operator.get(changelist("agent", query)))) is found


def test_an_agent_leads_to_its_page_and_its_history(operator):
    agent = fill()
    page = operator.get(reverse("admin:agents_agent_change", args=[agent.pk])).content.decode()
    links = [changelist(name, f"?agent__id__exact={agent.pk}") for name in ("turn", "wait", "hookevent", "statechange")]
    for link in links:
        assert link in page
        assert len(shown(operator.get(link))) >= 1
    assert f'href="/agents/{agent.pk}/"' in page


# -- the journal --------------------------------------------------------------


def test_a_payload_is_shown_readable_and_never_as_markup(operator):
    event = make_event(make_agent(), payload={"tool": {"command": "<script>"}}, answer={"decision": "deny"})
    page = operator.get(reverse("admin:agents_hookevent_change", args=[event.pk])).content.decode()
    assert "{\n  &quot;tool&quot;: {\n    &quot;command&quot;: &quot;&lt;script&gt;&quot;\n  }\n}" in page
    assert "&quot;decision&quot;: &quot;deny&quot;" in page


def test_a_huge_payload_is_cut(operator):
    event = make_event(make_agent(), payload={"text": "x" * 300_000})
    page = operator.get(reverse("admin:agents_hookevent_change", args=[event.pk])).content.decode()
    assert "more characters" in page
    assert len(page) < 260_000


@pytest.mark.parametrize(
    ("query", "found"),
    [("?q=web", 2), ("?q=the-key", 1), ("?q=nothing", 0), ("?outcome=pending", 1), ("?outcome=applied&q=web", 1)],
)
def test_the_journal_can_be_searched_and_filtered(operator, query, found):
    agent = make_agent("web")
    make_event(agent, key="the-key")
    make_event(agent, outcome="pending")
    make_event(make_agent("api"), outcome="late")
    assert len(shown(operator.get(changelist("hookevent", query)))) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [("?vendor=codex", 1), ("?vendor=claude-code", 2), ("?vendor=codex&outcome=late", 0), ("?vendor=nobody", 3)],
)
def test_the_journal_can_be_filtered_by_vendor(operator, query, found):
    agent = make_agent()
    for vendor, outcome in (("codex", "applied"), ("claude-code", "applied"), ("claude-code", "late")):
        make_event(agent, vendor=vendor, outcome=outcome)
    assert len(shown(operator.get(changelist("hookevent", query)))) == found


def test_an_event_without_an_agent_is_shown_too(operator):
    make_event(None, outcome="refused")
    assert len(shown(operator.get(changelist("hookevent")))) == 1


def test_changes_can_be_filtered_by_where_they_led(operator):
    agent = make_agent()
    change = make_change(agent, after="ended")
    make_change(agent, after="processing")
    assert shown(operator.get(changelist("statechange", "?after=ended"))) == [change.pk]


def test_commands_are_found_by_their_prompt(operator):
    command = make_command(make_agent(), "complete", prompt="Upgrade the client")
    make_command(make_agent(), "complete", prompt="Something else")
    assert shown(operator.get(changelist("command", "?q=upgrade"))) == [command.pk]


# -- what it costs ------------------------------------------------------------


HISTORIES = ["agentsession", "command", "turn", "wait", "hookevent", "statechange"]


def queries_of(operator, path):
    with CaptureQueriesContext(connection) as queries:
        assert operator.get(path).status_code == 200
    return [query["sql"] for query in queries]


@pytest.mark.parametrize("model", NAMES)
def test_a_list_costs_the_same_for_five_rows_and_for_fifty(operator, model):
    fill(5)
    few = len(queries_of(operator, changelist(model)))
    fill(50)
    assert len(queries_of(operator, changelist(model))) == few <= 12


@pytest.mark.parametrize("model", HISTORIES)
def test_no_history_is_counted_to_its_end_or_sorted(operator, model):
    fill()
    for query in ("", "?q=project"):
        asked = queries_of(operator, changelist(model, query))
        counts = [sql for sql in asked if "COUNT(" in sql]
        assert counts
        assert [sql for sql in counts if "LIMIT 10001" not in sql] == []
        rows = [sql for sql in asked if f'FROM "agents_{model}"' in sql and "ORDER BY" in sql]
        assert [sql for sql in rows if f'ORDER BY "agents_{model}"."id" DESC' not in sql] == []


def test_the_journal_is_listed_without_its_payloads(operator):
    fill()
    listed = [sql for sql in queries_of(operator, changelist("hookevent")) if 'FROM "agents_hookevent"' in sql]
    assert listed
    assert [sql for sql in listed if '"payload"' in sql] == []


def test_one_word_finds_the_rows_of_an_agent_by_index(operator):
    agent = make_agent("needle")
    HookEvent.objects.bulk_create(
        HookEvent(host=agent.host, vendor="claude-code", key=f"k{n}", received_at=before(), applied_at=before(),
                  outcome="applied")
        for n in range(3000)
    )  # fmt: skip
    event = make_event(agent)
    found = HookEventAdmin(HookEvent, admin.site).get_search_results(None, HookEvent.objects.order_by("-pk"), "needle")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE agents_hookevent")
    plan = found[0].explain()
    assert [row.pk for row in found[0]] == [event.pk]
    assert "Seq Scan" not in plan, plan
