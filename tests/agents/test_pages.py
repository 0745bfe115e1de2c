"""The pages: who may see them, what stands on them, and what they cost."""

import re
from html.parser import HTMLParser

import pytest

from agents.models import Agent
from agents.pages import ENDED_SHOWN
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


@pytest.fixture
def reader(client, django_user_model):
    """A client that is logged in, as nobody special."""
    client.force_login(django_user_model.objects.create_user("ada"))
    return client


def text_of(response):
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def fill(count):
    """Make agents of every kind, with rows of every kind."""
    for number in range(count):
        agent = make_agent(f"project-{number}", make_host(f"host-{number}"))
        command = make_command(agent, "processing" if number % 2 else "awaiting_input")
        if command.state == "awaiting_input":
            make_wait(command, use_id=f"one-{number}")
            make_wait(command, use_id=f"two-{number}")
        make_ended_agent(project=f"project-{number}")


# -- who may see them ---------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/?fragment=1", "/agents/1/"])
def test_pages_need_a_login(client, path):
    response = client.get(path)
    assert response.status_code == 302
    assert response.url.startswith("/admin/login/?next=")


def test_pages_are_never_kept_by_a_browser(reader):
    assert "no-store" in reader.get("/").headers["Cache-Control"]


def test_pages_are_only_read(reader):
    assert reader.post("/").status_code == 405


# -- the board ----------------------------------------------------------------


def test_agents_stand_in_the_order_of_need(reader):
    idle = make_agent("idle")
    working = make_command(make_agent("working")).agent
    silent = make_command(make_agent("silent", last_seen_at=before(minutes=10))).agent
    failed = make_command(make_agent("failed"), "complete", outcome="failed").agent
    doubtful = make_agent("doubtful", ambiguous="two processes claim it")
    asking = make_wait(make_command(make_agent("asking"), "awaiting_input")).agent
    ended = make_ended_agent(project="ended")
    page = reader.get("/").content.decode()
    shown = [int(number) for number in re.findall(r'id="agent-(\d+)"', page)]
    assert shown == [agent.pk for agent in (asking, doubtful, failed, silent, working, idle, ended)]


def test_a_card_says_what_there_is_to_know(reader):
    agent = make_agent("checkout", mode="hold", ambiguous="two processes claim it", reason="a person is asked")
    command = make_command(agent, "awaiting_input", prompt="Upgrade the client")
    make_wait(command, tool_name="Bash", text="git push --force", opened_at=before(minutes=4))
    page = text_of(reader.get("/"))
    for words in (
        f"checkout · #{agent.pk}",
        "awaiting input",
        "for 4 min",
        "hold",
        "permission Bash git push --force",
        "two processes claim it",
        "Upgrade the client",
        "a person is asked",
        "laptop",
        "heard 3 s ago",
    ):
        assert words in page


def test_the_counts_stand_on_top_and_are_announced(reader):
    make_wait(make_command(make_agent(), "awaiting_input"))
    make_command(make_agent())
    page = reader.get("/").content.decode()
    announced = re.search(r'<p[^>]*id="counts"[^>]*aria-live="polite"[^>]*>(.*?)</p>', page, re.DOTALL)
    assert re.sub(r"<[^>]+>", " ", announced[1]).split() == ["1", "needs", "you", "1", "working"]


def test_only_the_last_that_ended_are_shown(reader):
    agents = [make_ended_agent(ended_at=before(minutes=number + 1)) for number in range(ENDED_SHOWN + 3)]
    page = reader.get("/").content.decode()
    shown = [int(number) for number in re.findall(r'id="agent-(\d+)"', page)]
    assert shown == [agent.pk for agent in agents[:ENDED_SHOWN]]


def test_texts_of_agents_are_never_markup(reader):
    agent = make_agent("<b>x</b>", reason="<script>alert(1)</script>")
    make_wait(make_command(agent, "awaiting_input", prompt="<img src=x>"), text="</code><script>")
    for path in ("/", f"/agents/{agent.pk}/"):
        page = reader.get(path).content.decode()
        assert "<script>" not in page
        assert "<img src=x>" not in page
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=checkout", {"checkout"}),
        ("q=CHECK+laptop", {"checkout"}),
        ("q=upgrade", {"checkout"}),
        ("q=tower", {"docs"}),
        ("q=session-of-docs", {"docs"}),
        ("q=checkout+tower", set()),
        ("project=docs", {"docs"}),
        ("project=docs&q=upgrade", set()),
        ("q=%00", {"checkout", "docs"}),
        ("q=%23999999999999999999999999", set()),
        ("q=%27%22%25_", set()),
    ],
)
def test_the_list_can_be_narrowed(reader, query, found):
    make_command(make_agent("checkout"), prompt="Upgrade the client")
    make_agent("docs", make_host("tower"), session_id="session-of-docs")
    page = reader.get(f"/?fragment=1&{query}").content.decode()
    assert set(re.findall(r">(\w+) · #\d+</a>", page)) == found


def test_an_agent_is_found_by_its_number(reader):
    one, other = make_agent("one"), make_agent("other")
    page = text_of(reader.get("/", {"q": f"#{one.pk}", "fragment": "1"}))
    assert f"one · #{one.pk}" in page
    assert f"other · #{other.pk}" not in page


def test_without_agents_it_tells_how_to_connect_one(reader):
    page = text_of(reader.get("/"))
    assert "manage.py install_hooks --server http://testserver --token TOKEN" in page
    assert "manage.py demo" in page


def test_without_a_match_it_says_so(reader):
    make_agent()
    page = text_of(reader.get("/?q=nowhere"))
    assert "No agent matches" in page
    assert "install_hooks" not in page


def test_the_fragment_is_the_part_of_the_page_that_changes(reader):
    make_command(make_agent())
    fragment = reader.get("/?fragment=1").content.decode()
    assert "<html" not in fragment
    assert fragment.strip() in reader.get("/").content.decode()


def test_it_refreshes_itself_without_a_script(reader):
    head = reader.get("/").content.decode().split("</head>")[0]
    assert re.search(r'<noscript><meta http-equiv="refresh" content="\d+"></noscript>', head)


# -- one agent ----------------------------------------------------------------


def test_one_agent_is_shown_with_its_history(reader):
    agent = make_agent("checkout", parent=make_agent("lead"))
    past = make_command(agent, "complete", outcome="interrupted", prompt="First", gaps={"stop": "its stop is missing"})
    make_turn(past, text="Look at the tests")
    make_wait(make_command(agent, "awaiting_input", prompt="Second"), text="rm -rf build")
    make_change(agent, before="alive", after="unknown", trigger="reap", reason="not heard for 31 minutes")
    make_event(agent, name="PreToolUse", outcome="duplicate")
    page = text_of(reader.get(f"/agents/{agent.pk}/"))
    for words in (
        f"checkout · #{agent.pk}",
        "rm -rf build",
        "interrupted",
        "First",
        "its stop is missing",
        "Look at the tests",
        "not heard for 31 minutes",
        "PreToolUse",
        "duplicate",
        agent.session_id,
        f"#{agent.parent_id}",
    ):
        assert words in page


def test_one_agent_does_not_show_the_history_of_another(reader):
    agent, other = make_agent(), make_agent()
    make_turn(make_command(other), text="Somebody else's")
    assert "Somebody else's" not in text_of(reader.get(f"/agents/{agent.pk}/"))


@pytest.mark.parametrize("agent_id", [1, 10**30])
def test_an_agent_that_is_not_there_is_not_found(reader, agent_id):
    assert reader.get(f"/agents/{agent_id}/").status_code == 404


# -- what they cost -----------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/?fragment=1", "/?q=project"])
def test_the_board_costs_the_same_for_five_agents_and_for_fifty(reader, path, django_assert_num_queries):
    # Login and user, agents, their commands and waits, the ended with theirs; the whole page also reads projects.
    queries = 8 if "fragment" in path else 9
    fill(5)
    with django_assert_num_queries(queries):
        reader.get(path)
    fill(50)
    with django_assert_num_queries(queries):
        reader.get(path)


def test_one_agent_costs_the_same_with_a_long_history(reader, django_assert_num_queries):
    agent = make_agent()
    command = make_command(agent, "awaiting_input")
    with django_assert_num_queries(10):
        reader.get(f"/agents/{agent.pk}/")
    for number in range(30):
        make_command(agent, "complete", prompt=f"Number {number}")
        make_turn(command)
        make_wait(command, use_id=f"call-{number}")
        make_change(agent, command=command, event=make_event(agent))
    with django_assert_num_queries(10):
        reader.get(f"/agents/{agent.pk}/")


# -- whoever reads them otherwise than by eye ---------------------------------


class Outline(HTMLParser):
    """Collects what a screen reader goes by."""

    def __init__(self, page):
        super().__init__()
        self.found, self.ids, self.labels, self.fields = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        told = dict(attributes)
        self.found.append(tag)
        if "id" in told:
            self.ids.append(told["id"])
        if tag == "label":
            self.labels.append(told["for"])
        if tag in ("input", "select") and told.get("type") != "hidden":
            self.fields.append(told["id"])


@pytest.mark.parametrize("path", ["/", "/agents/{}/"])
def test_pages_have_landmarks_one_heading_and_a_label_for_every_field(reader, path):
    fill(3)
    make_turn(make_command(Agent.objects.first(), "complete"), text="long " * 200)
    outline = Outline(reader.get(path.format(Agent.objects.first().pk)).content.decode())
    assert [outline.found.count(tag) for tag in ("header", "nav", "main", "h1")] == [1, 1, 1, 1]
    assert sorted(set(outline.ids)) == sorted(outline.ids)
    assert set(outline.fields) <= set(outline.labels)
