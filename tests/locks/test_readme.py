"""``locks/README.md`` names every setting, number, exported tool and package there is, with the values in force."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from locks import LockNamespace, counts, testing
from locks.conf import Conf
from locks.metrics import families
from tests.house.sources import ROOT

README = ROOT / "locks/README.md"
TEXT = README.read_text()
SETTINGS = dict(re.findall(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", TEXT, re.MULTILINE))
PACKAGES = re.search(r"```text\n(.*?)```", TEXT, re.DOTALL)[1].splitlines()


def test_every_setting_is_named_with_its_default_and_no_other():
    assert {name: eval(value, {"timedelta": timedelta}) for name, value in SETTINGS.items()} == {
        name.upper(): getattr(Conf(), name) for name in Conf.__dataclass_fields__
    }


@pytest.mark.django_db
def test_every_number_is_named_and_no_other():
    assert re.findall(r"^\| `(locks_\w+)` \|", TEXT, re.MULTILINE) == [family.name for family in families()]


def test_the_packages_are_those_of_the_project():
    known = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert set(PACKAGES) - set(known) == set()


def test_the_packages_are_all_that_is_imported():
    """Of what the project installs; pytest is for ``locks.testing.fixtures`` alone."""
    imported = set()
    for path in README.parent.rglob("*.py"):
        imported.update(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE))
    names = {"Django": "django", "djangorestframework": "rest_framework", "prometheus-client": "prometheus_client"}
    named = {names.get(word, word) for word in (re.match(r"[\w-]+", line)[0] for line in PACKAGES)}
    others = {"pgtrigger", "django_q", "environ", "gunicorn", "whitenoise", "psycopg_pool", "rest_framework", "rich"}
    assert named <= imported
    assert imported & others <= named


def test_what_the_test_kit_is_said_to_have_is_there():
    named = re.findall(r"`(\w+)`", TEXT.partition("## For tests")[2].partition("## Read on")[0])
    assert len(named) == 6
    assert set(named) - set(testing.__all__) == {"no_locks_left"}


def test_the_limits_that_are_named_are_those_in_force():
    assert "written every five seconds" in TEXT and timedelta(seconds=5) == counts.WRITTEN_EVERY
    assert "for 30 days are forgotten" in TEXT and "interval '30 days'" in counts._FENCES
    assert "1, 2, 3 and 127 are taken" in TEXT and sorted(map(int, LockNamespace)) == [1, 2, 3, 127]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_a_link_leads_somewhere(target):
    assert Path(README.parent / target).exists()
