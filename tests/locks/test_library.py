"""What holds for the library as a whole."""

import ast
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

import locks

ROOT = Path(locks.__file__).parent


def test_every_exported_name_is_there_and_the_list_is_sorted():
    assert list(locks.__all__) == sorted(locks.__all__)
    assert all(hasattr(locks, name) for name in locks.__all__)


def test_it_imports_nothing_of_the_program_that_uses_it():
    foreign = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                foreign.add(str(node.module).split(".")[0])
            if isinstance(node, ast.Import):
                foreign.update(alias.name.split(".")[0] for alias in node.names)

    assert not foreign & {"agents", "headspace", "tests"}


def test_the_tree_of_errors_in_its_docstring_is_the_tree_of_classes():
    drawn = [
        line.strip("│├└─ ").split()[0] for line in locks.errors.__doc__.splitlines() if line.strip()[:1] in set("│├└")
    ]
    known = {
        name
        for name, thing in vars(locks.errors).items()
        if isinstance(thing, type) and thing.__module__ == "locks.errors"
    }

    assert set(drawn) | {"AdvisoryLockError"} == known
    busy = drawn[drawn.index("Busy") + 1 :]
    assert {child.__name__ for child in locks.errors.Busy.__subclasses__()} == set(busy)


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "locks", check=True, dry_run=True, stdout=StringIO())
