import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from headspace import env
from tests.start.conftest import PROJECT

REFUSED = {
    "DEBUG": ["maybe", "2", "yess"],
    "DATABASE_URL": ["nonsense", "mysql://u:p@127.0.0.1/x", "sqlite:///x.db", "postgresql://u:p@127.0.0.1:port/x"],
    "LOG_LEVEL": ["loud", "info"],
    "HEADSPACE_PORT": ["http", "-1", "65536", "8642.5", "٣x"],
    "HEADSPACE_WEB_WORKERS": ["0", "two"],
    "HEADSPACE_WEB_THREADS": ["0", "-8"],
    "HEADSPACE_BUSY_AFTER": ["0", "-1", "soon", "nan", "inf", "1e12"],
    "HEADSPACE_REAP_EVERY": ["0", "often"],
    "HEADSPACE_DRAIN_EVERY": ["0", "often"],
    "HEADSPACE_WAITERS_PER_AGENT": ["0"],
    "HEADSPACE_TEXT_LIMIT": ["99"],
}


def started_with(**variables):
    """Return the result of any command under these variables."""
    kept = {name: text for name, text in os.environ.items() if name not in REFUSED}
    command = [sys.executable, "-c", "import headspace.settings"]
    return subprocess.run(command, cwd=PROJECT, env=kept | variables, capture_output=True, text=True)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in REFUSED.items() for text in texts])
def test_a_value_that_cannot_be_meant_is_refused_with_its_name(name, text):
    done = started_with(**{name: text})
    assert done.returncode == 1
    assert f"ImproperlyConfigured: {name} " in done.stderr


def test_a_wrong_value_is_told_in_one_line():
    command = [sys.executable, "manage.py", "up", "--help"]
    done = subprocess.run(
        command, cwd=PROJECT, env=os.environ | {"HEADSPACE_PORT": "http"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "HEADSPACE_PORT must be a whole number, not 'http'.\n"


def test_a_password_is_not_repeated_in_a_refusal():
    assert "hidden" not in started_with(DATABASE_URL="mysql://u:hidden@127.0.0.1/x").stderr


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("ON", True), ("0", False), ("off", False), ("", False)]
)
def test_the_usual_words_are_truth_values(monkeypatch, text, value):
    monkeypatch.setenv("DEBUG", text)
    assert env.env_bool("DEBUG", not value) is value


def test_absent_and_empty_values_are_the_default(monkeypatch):
    monkeypatch.delenv("HEADSPACE_X", raising=False)
    assert env.env_int("HEADSPACE_X", 7) == 7
    monkeypatch.setenv("HEADSPACE_X", "")
    assert env.env_int("HEADSPACE_X", 7) == 7
    assert env.env_seconds("HEADSPACE_X", 1.5) == timedelta(seconds=1.5)
    assert env.env_list("HEADSPACE_X", ["a"]) == ["a"]
    assert env.env_choice("HEADSPACE_X", "a", {"a"}) == "a"


def test_lists_are_split_at_commas(monkeypatch):
    monkeypatch.setenv("HEADSPACE_X", " a, b ,,c ")
    assert env.env_list("HEADSPACE_X", []) == ["a", "b", "c"]


def test_a_relative_path_starts_where_we_are(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSPACE_X", "kept")
    assert env.env_path("HEADSPACE_X", tmp_path) == tmp_path / "kept"


def test_a_number_below_the_least_is_refused_with_the_least(monkeypatch):
    monkeypatch.setenv("HEADSPACE_X", "2")
    with pytest.raises(ImproperlyConfigured, match="HEADSPACE_X must be at least 3, not 2"):
        env.env_int("HEADSPACE_X", 7, least=3)
