"""A copy of ``locks/`` works in a project that has nothing else of this one."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import psycopg
import pytest
from django.db import connection

from tests.house.sources import ROOT
from tests.locks.actors import PATIENCE

NAME = f"lifted_out_{os.getpid()}"
SETTINGS = """
SECRET_KEY = "only-for-tests"
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = [
    "locks",
    "rest_framework",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "project.urls"
TEMPLATES = [
    {{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": ["templates"],
        "APP_DIRS": True,
        "OPTIONS": {{"context_processors": ["django.template.context_processors.request"]}},
    }}
]
DATABASES = {{"default": {database!r}}}
STATIC_URL = "/static/"
LOGIN_URL = "/the-login/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
URLS = """
from django.urls import include, path

urlpatterns = [path("monitor/", include("locks.urls"))]
"""
OVERRIDE = "THEIR OWN PAGE {% block title %}{% endblock %} {% block content %}{% endblock %}"
VISIT = """
from django.contrib.auth import get_user_model
from django.test import Client

stranger, visitor = Client(), Client()
visitor.force_login(get_user_model().objects.get_or_create(username="ada")[0])
"""
PAGE = (
    VISIT
    + """
turned_away = stranger.get("/monitor/locks/")
tell(turned_away.status_code, turned_away.headers["Location"], visitor.get("/monitor/locks/").content.decode())
"""
)
API = (
    VISIT
    + """
address = "/monitor/api/advisory-locks"
tell(stranger.get(address).status_code, visitor.get(address).status_code, visitor.get(address).json()["count"])
"""
)
SCOPES = """
from enum import IntEnum
from django.db import transaction
from locks import advisory_lock, advisory_lock_or_skip, register_namespaces
from locks.monitor import snapshot

@register_namespaces
class Keys(IntEnum):
    INVOICE = 40
    REPORT = 41

with advisory_lock(Keys.REPORT, "march", scope="session") as lock:
    with transaction.atomic(), advisory_lock(Keys.INVOICE, 8):
        lock.verify()
        seen = [(one.title, one.scope) for one in snapshot().locks]
with transaction.atomic(), advisory_lock_or_skip(Keys.REPORT, "march") as entered:
    tell(seen, lock.fence > 0, entered)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project, migrated: ``manage`` runs a command of it, ``python`` code that tells something."""
    place = tmp_path_factory.mktemp("lifted")
    shutil.copytree(ROOT / "locks", place / "locks", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "project").mkdir()
    (place / "project/settings.py").write_text(SETTINGS.format(database=_database()))
    (place / "project/urls.py").write_text(URLS)
    with psycopg.connect(**_server(), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {NAME}")
        try:
            migrated = _run(place, "-m", "django", "migrate")
            yield SimpleNamespace(
                place=place,
                migrated=migrated,
                manage=lambda *words: _run(place, "-m", "django", *words),
                python=lambda code: _told(place, code),
            )
        finally:
            server.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def _database():
    known = connection.settings_dict
    keys = ("ENGINE", "USER", "PASSWORD", "HOST", "PORT")
    return {key: known[key] for key in keys} | {"NAME": NAME}


def _server():
    params = connection.get_connection_params()
    return {key: params[key] for key in ("user", "password", "host", "port") if key in params} | {"dbname": "postgres"}


def _run(place, *words):
    ended = subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=place,
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "project.settings", "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _told(place, code):
    begin = "import json, django; django.setup(); tell = lambda *things: print(json.dumps(things))\n"
    return json.loads(_run(place, "-c", begin + code))


def test_it_is_the_copy_and_stands_alone(project):
    where, others = project.python(
        "import locks, importlib.util as found; tell(locks.__file__, [n for n in ('agents', 'headspace', 'tests')"
        " if found.find_spec(n)])"
    )
    assert where == str(project.place / "locks/__init__.py")
    assert others == []


def test_it_is_migrated_under_its_own_lock_and_passes_the_checks(project):
    assert "Applying locks.0001_locks... OK" in project.migrated
    told = " ".join(project.manage("migrate", "--help").split())
    assert "--lock-timeout" in told and "only one migrates" in told
    assert "No changes detected" in project.manage("makemigrations", "--check", "--dry-run")
    assert "no issues" in project.manage("check", "--database", "default")


def test_its_page_stands_alone_behind_a_login(project):
    status, leads_to, page = project.python(PAGE)

    assert (status, leads_to) == (302, "/the-login/?next=/monitor/locks/")
    assert "Nobody waits for a lock." in page
    assert page.lstrip().startswith("<!doctype html>") and "/static/locks/plain.css" in page
    assert "Headspace" not in page


def test_what_its_page_asks_for_is_there(project):
    for name in ("plain.css", "locks.css", "refresh.js"):
        assert name in project.manage("findstatic", f"locks/{name}")


def test_a_project_puts_it_into_a_page_of_its_own(project):
    template = project.place / "templates/locks/base.html"
    template.parent.mkdir(parents=True)
    template.write_text(OVERRIDE)
    try:
        *_, page = project.python(PAGE)
    finally:
        template.unlink()

    assert page.startswith("THEIR OWN PAGE Locks")
    assert "Nobody waits for a lock." in page


def test_its_address_for_programs_needs_a_login_whatever_the_project_allows(project):
    assert project.python(API) == [403, 200, 0]


def test_both_scopes_work(project):
    assert project.python(SCOPES) == [[["INVOICE 8", "transaction"], ["REPORT march", "session"]], True, True]


def test_its_command_works(project):
    assert project.manage("locks").startswith("Nobody waits.\n")
    assert json.loads(project.manage("locks", "--json"))["locks"] == []
