"""The README's links lead somewhere, and its commands exist."""

import re

import pytest
from django.core.management import get_commands

from tests.house.sources import ROOT

TEXT = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_link_leads_somewhere(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"manage\.py (\w+)", TEXT))))
def test_command_exists(name):
    assert name in get_commands()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([\w-]+)", TEXT, re.MULTILINE))))
def test_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
