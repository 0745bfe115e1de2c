"""The page of locks as a person sees it: who is in the way comes first, on a screen of any width."""

import pytest
from django.db import transaction
from playwright.sync_api import expect

from locks import LockNamespace, advisory_lock, labelled
from locks.models import Incident, Minute
from tests.browser.conftest import needs_chromium
from tests.locks.actors import Actor, ask, until_waiting

pytestmark = needs_chromium
AGENT = LockNamespace.AGENT


@pytest.fixture
def jam(transactional_db):
    """A holder with three behind it and one behind one of those, a ghost, and an hour with waits: yields the holder."""
    actors = [Actor() for _ in range(6)]
    holder, *waiters, last, ghost = actors
    names = ["hook pre-tool-use", "cycle reap", "hook stop", "cycle drain", "action"]
    for actor, who in zip(actors[:-1], names, strict=True):
        actor.enter(transaction.atomic())
        actor.enter(labelled(who, "9c1f4b7e"))
    holder.enter(advisory_lock(AGENT, 4711))
    waiters[1].enter(advisory_lock(AGENT, 12))
    for waiter in waiters:
        waiter.start_entering(advisory_lock(AGENT, 4711))
        until_waiting(waiter)
    last.start_entering(advisory_lock(AGENT, 12))
    until_waiting(last)
    ghost.do(ask, "SELECT pg_advisory_lock(-5)")
    _remember()
    yield holder
    for actor in actors:
        actor.close()


def _remember():
    now = ask("SELECT now()").replace(second=0, microsecond=0)
    for minutes in range(1, 50, 4):
        at = ask("SELECT %s - make_interval(mins => %s)", [now, minutes])
        waited = minutes**1.5 / 9
        Minute.objects.create(
            minute=at, waited_seconds=waited, longest_wait=waited / 2, timeouts=minutes > 25, lost=minutes > 40
        )
        if minutes < 25:
            Incident.objects.create(
                at=at, kind=["timeouts", "waits_over_1s"][minutes % 2], namespace=1, key=4711, asker="cycle reap",
                seconds=waited, holder="hook pre-tool-use", holder_pid=4242,
            )  # fmt: skip


@pytest.fixture
def errors(page):
    """What scripts of the page could not do."""
    found = []
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_root_is_seen_first_and_nothing_leaves_the_screen(jam, page, log_in, errors, tmp_path, width, scheme):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    log_in("/locks/")
    root = page.locator(".locks-root")

    expect(root).to_contain_text("hook pre-tool-use")
    expect(root).to_contain_text("idle in transaction")
    box = root.bounding_box()
    # Whole, and above everything that can be scrolled to.
    assert box["y"] + box["height"] < 800
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.locator(".locks-place").all_inner_texts() == ["1", "2", "1", "3"]
    # A thread of this process may just bring in what an earlier test waited.
    assert page.locator(".locks-bar").count() >= 13
    page.screenshot(path=tmp_path / "locks.png", full_page=True)
    assert errors == []


def test_it_is_read_aloud_when_it_changes_and_not_each_time_it_is_asked(jam, log_in, errors):
    page = log_in("/locks/")
    said = page.locator("#locks-said")
    expect(said).to_have_text("1 session in the way of others.")
    page.evaluate("said.firstChild.marker = 'the very same text'")
    for _ in range(2):
        page.wait_for_event("response", lambda answer: "part" in answer.url)

    assert page.evaluate("said.firstChild.marker") == "the very same text"
    assert errors == []


def test_when_the_root_ends_the_page_says_so_by_itself(jam, log_in):
    page = log_in("/locks/")
    expect(page.locator(".locks-who").first).to_have_text("hook pre-tool-use")
    pids = page.locator(".locks-about").first.inner_text()
    assert str(jam.pid) in pids
    ended = jam.start_leaving()
    expect(page.locator(".locks-who").first).to_have_text("cycle reap")
    ended.result(10)
