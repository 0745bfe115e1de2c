"""The races of ``docs/races.md`` and the files that prove them: the table says of each what there is, and no more."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ID = re.compile(r"\b[CHMLX][1-9]\d?\b")
ROW = re.compile(rf"^\| ({ID.pattern}) \|(.+)\|(.+)\|(.+)\|$", re.MULTILINE)
NAME = re.compile(r"test_([a-z]\d+)_[a-z0-9_]+\.py")
ROWS = ROW.findall((ROOT / "docs/races.md").read_text())
PROOFS = {race: [ROOT / name for name in re.findall(r"`([^`]+)`", proof)] for race, _, _, proof in ROWS}
PROVED = [race for race, paths in PROOFS.items() if any(path.parent == HERE for path in paths)]


def files():
    """Return the files that are named by a race, by its id."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        if match := NAME.fullmatch(path.name):
            found.setdefault(match[1].upper(), []).append(path)
    return found


def files_here(race):
    """Return the files of this folder that the table names for a race."""
    return sorted(path for path in PROOFS[race] if path.parent == HERE)


def names_in(path):
    """Return the names of a file's tests."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def named_in(folder):
    """Return the ids that a folder's files name."""
    return {race for path in (ROOT / folder).rglob("*.py") for race in ID.findall(path.read_text())}


def test_the_table_tells_each_race_once():
    races = [race for race, *_ in ROWS]
    assert races
    assert len(races) == len(set(races))
    assert races == sorted(races, key=lambda race: (race[0], int(race[1:])))


@pytest.mark.parametrize("folder", ["agents", "headspace", "locks", "tests/agents", "tests/locks", "tests/races"])
def test_each_race_that_is_named_stands_in_the_table(folder):
    assert named_in(folder) - PROOFS.keys() == set()


@pytest.mark.parametrize("race", PROOFS)
def test_each_race_has_files_that_exist_or_is_said_to_be_to_come(race):
    assert [path for path in PROOFS[race] if not path.exists()] == []
    assert PROOFS[race] or "to come" in next(proof for other, *_, proof in ROWS if other == race)


def test_each_file_that_is_named_by_a_race_stands_in_its_row_and_no_other_does():
    assert files() == {race: files_here(race) for race in PROVED}


@pytest.mark.parametrize("race", PROVED)
def test_each_race_has_a_test_that_holds_and_a_mutant_that_does_not(race):
    names = [name for path in files_here(race) for name in names_in(path)]
    mutants = [name for name in names if "mutant" in name]
    assert mutants
    assert len(mutants) < len(names)


@pytest.mark.parametrize("race", PROVED)
def test_each_file_says_which_race_it_is_about(race):
    for path in files_here(race):
        assert re.match(rf"{race}\b", ast.get_docstring(ast.parse(path.read_text())))
