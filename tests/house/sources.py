"""The project's own source files, for the tests that hold its rules true."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ("headspace", "agents", "locks")


def modules(*folders):
    """Return the Python files of the named folders, without migrations."""
    found = [path for folder in folders or APPS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "migrations" not in path.parts and "__pycache__" not in path.parts]


def name_of(path):
    """Return the path as the documents write it."""
    return path.relative_to(ROOT).as_posix()


def functions(path):
    """Return the functions of a file."""
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def strings(path):
    """Return the string constants of a file that are no docstrings, with their lines."""
    tree = ast.parse(path.read_text())
    prose = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]
