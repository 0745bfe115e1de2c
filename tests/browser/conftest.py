"""A running Headspace and a browser that looks at it: Debian's Chromium, without a window."""

import os
import shutil
from contextlib import ExitStack

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.agents.web import serving

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="there is no chromium here; `make browser` says how to get it")
LOGIN = {"username": "ada", "password": "a long password"}
WITHIN = 30_000  # ms: a page asks every two or three seconds, on a machine that may be busy


@pytest.fixture
def power():
    """What keeps the web running; the web stops when it is closed."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def web(transactional_db, power, tmp_path):
    """The web process, each test's own."""
    return power.enter_context(serving(tmp_path))


@pytest.fixture
def door(web):
    with web.door() as found:
        yield found


@pytest.fixture
def operator(transactional_db, django_user_model):
    return django_user_model.objects.create_superuser(**LOGIN)


@pytest.fixture
def page(door, operator):
    """An empty page of a browser that nobody has used before.

    It is the last to come and the first to go: while it is there Django takes this thread for an event loop's and
    refuses it the database.
    """
    expect.set_options(timeout=WITHIN)
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = chromium.new_page(base_url=f"http://127.0.0.1:{door.port}")
        page.set_default_timeout(WITHIN)
        yield page
        chromium.close()


@pytest.fixture
def log_in(page):
    """Ask for a page, log in through the form that comes instead, and be there; mark the page, to know it again."""

    def visit(path):
        page.goto(path)
        for name, text in LOGIN.items():
            page.locator(f"[name={name}]").fill(text)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(path)
        page.evaluate("window.marker = 'as it was loaded'")
        return page

    return visit
