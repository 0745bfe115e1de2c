"""The races that are claimed to be proved, and the files that prove them: one list, held true."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CLAIMED = {
    "C1": "two writers of one command: one wins by the table, the other is judged again",
    "C2": "two hooks of one agent: one at a time, in the client's order, on rows read after the lock; no loser is lost",
    "C3": "two session starts: one effect, also when one dies half-way (first part: there are no messages yet)",
    "M5": "a notification never overrides a later stop",
    "M7": "killed or cut off anywhere: all or nothing, and once in the end",
    "M8": "fifty first hooks: one agent, no error",
    "X1": "late hooks never resurrect, a resume does",
    "X3": "a nested agent is its own, linked as a child",
    "X4": "parallel tools: a question is known by its call",
    "X11": "as many hooks as connections: nobody starves",
    "X12": "a hot agent costs the others nothing",
    "X13": "an exception in a skipped section is the caller's own",
    "X14": "keys of 64 bits, negative ones, and namespaces that do not meet",
    "X15": "what was committed while we waited is seen",
    "X21": "doubled and shuffled sessions end in the same rows",
}
NAME = re.compile(r"test_([a-z]\d+)_[a-z0-9_]+\.py")


def files():
    """Return the files that are named by a race, by its id."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        if match := NAME.fullmatch(path.name):
            found.setdefault(match[1].upper(), []).append(path)
    return found


def names_in(path):
    """Return the names of a file's tests."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def test_each_race_that_is_claimed_has_its_file_and_no_file_a_race_that_is_not():
    assert files().keys() == CLAIMED.keys()


@pytest.mark.parametrize("race", CLAIMED)
def test_each_race_has_a_test_that_holds_and_a_mutant_that_does_not(race):
    names = [name for path in files()[race] for name in names_in(path)]
    mutants = [name for name in names if "mutant" in name]
    assert mutants
    assert len(mutants) < len(names)


@pytest.mark.parametrize("race", CLAIMED)
def test_each_file_says_which_race_it_is_about(race):
    for path in files()[race]:
        assert re.match(rf"{race}\b", ast.get_docstring(ast.parse(path.read_text())))
