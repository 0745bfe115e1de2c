"""``docs/locks-pitfalls.md`` names tests that there are, in each row one of its answer, and every pinned fact."""

import re

import pytest

from tests.house.sources import ROOT

TEXT = (ROOT / "docs/locks-pitfalls.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not re.match(r"\| (Pitfall|---)", line)]
NAMED = set(re.findall(r"`(test_\w+)`", TEXT))
_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)


def _tests(pattern):
    return {name for path in ROOT.glob(pattern) for name in _TEST.findall(path.read_text())}


FACTS = _tests("tests/locks/test_postgres_facts*.py")


def test_the_table_is_long():
    assert len(ROWS) > 25


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:50])
def test_a_row_says_what_goes_wrong_what_is_done_and_what_holds_it(row):
    pitfall, answer, tests = (cell.strip() for cell in row.strip("|").split(" | "))

    assert pitfall.endswith(".")
    assert answer.endswith(".")
    assert re.fullmatch(r"`test_\w+`(, `test_\w+`)*", tests)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:50])
def test_a_row_names_a_test_that_holds_its_answer_and_not_the_fact_alone(row):
    assert set(re.findall(r"`(test_\w+)`", row)) - FACTS


def test_every_test_that_is_named_exists():
    assert NAMED - _tests("tests/**/test_*.py") == set()


def test_every_fact_that_is_pinned_is_named():
    assert set() == FACTS - NAMED
