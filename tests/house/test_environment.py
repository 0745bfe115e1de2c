"""``.env.example`` names every variable that the settings read, and no other."""

import re

from tests.house.sources import ROOT


def test_every_variable_is_in_the_example():
    settings = (ROOT / "headspace/settings.py").read_text()
    read = set(re.findall(r'env_\w+\("([A-Z_]+)"', settings)) - {"TEST_DATABASE"}
    named = set(re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named == read
