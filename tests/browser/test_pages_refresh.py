"""Pages keep themselves up to date, in a real browser: nobody reloads them."""

import pytest
from django.db import transaction
from playwright.sync_api import expect

from locks import LockNamespace, advisory_lock, labelled
from tests.agents.payload_files import payload
from tests.browser.conftest import needs_chromium
from tests.locks.actors import Actor

pytestmark = needs_chromium

START = payload("claude-code", "session-start.json", cwd="/srv/checkout")
PROMPT = payload("claude-code", "user-prompt-submit.json", cwd="/srv/checkout", prompt="Upgrade the client")


@pytest.fixture
def holder(transactional_db):
    """Somebody else, who can hold a lock."""
    actor = Actor()
    yield actor
    actor.close()


def is_as_it_was_loaded(page):
    return page.evaluate("window.marker") == "as it was loaded"


def test_the_board_shows_what_a_hook_changed(door, log_in):
    page = log_in("/")
    live = page.locator("#live")
    expect(live).to_contain_text("No agent has reported yet")
    with door.wire() as wire:
        assert wire.post(START).outcome == "applied"
        expect(live).to_contain_text("checkout")
        expect(live).not_to_contain_text("Upgrade the client")
        assert wire.post(PROMPT).outcome == "applied"
    expect(live).to_contain_text("Upgrade the client")
    assert is_as_it_was_loaded(page)


def test_the_page_of_an_agent_shows_what_a_hook_changed(door, log_in):
    with door.wire() as wire:
        wire.post(START)
        page = log_in("/agents/1/")
        assert "Upgrade the client" not in page.content()
        wire.post(PROMPT)
    expect(page.locator("[data-refresh]")).to_contain_text("Upgrade the client")
    assert is_as_it_was_loaded(page)


def test_the_board_says_so_when_the_server_is_gone(power, log_in):
    page = log_in("/")
    note = page.locator("#connection")
    expect(note).to_be_hidden()
    power.close()
    expect(note).to_be_visible()
    expect(note).to_contain_text("Not connected. What you see is from")
    assert is_as_it_was_loaded(page)


def test_the_board_goes_on_when_the_network_is_back(door, log_in):
    page = log_in("/")
    note = page.locator("#connection")
    page.context.set_offline(True)
    expect(note).to_be_visible()
    page.context.set_offline(False)
    expect(note).to_be_hidden()
    with door.wire() as wire:
        wire.post(START)
    expect(page.locator("#live")).to_contain_text("checkout")
    assert is_as_it_was_loaded(page)


def test_the_page_of_locks_shows_a_lock_that_somebody_takes_and_gives_back(holder, log_in):
    page = log_in("/locks/")
    part = page.locator("#locks")
    expect(part).to_contain_text("No advisory lock is held")
    holder.enter(transaction.atomic())
    holder.enter(labelled("cycle reap", "c-1"))
    holder.enter(advisory_lock(LockNamespace.AGENT, 4711))
    expect(part).to_contain_text("4711")
    expect(part).to_contain_text("cycle reap")
    holder.leave()
    expect(part).to_contain_text("No advisory lock is held")
    assert is_as_it_was_loaded(page)


def test_the_page_of_locks_says_so_when_the_network_is_gone(log_in):
    page = log_in("/locks/")
    note = page.locator("#locks-lost")
    expect(note).to_be_hidden()
    page.context.set_offline(True)
    expect(note).to_be_visible()
    page.context.set_offline(False)
    expect(note).to_be_hidden()
    assert is_as_it_was_loaded(page)
