"""``docs/path-of-a-hook.md`` names only what there is, where it is."""

import re
from pathlib import Path

import pytest

from tests.house.sources import ROOT

TEXT = (ROOT / "docs/path-of-a-hook.md").read_text()
NAMES = re.findall(r"`([^`\s]+)`", TEXT)
FILES = [name for name in NAMES if "/" in name and name.endswith(".py")]
WORDS = [name for name in NAMES if re.fullmatch(r"_?[A-Za-z]\w*(\.\w+)?", name)]
CODE = "\n".join(Path(ROOT / name).read_text() for name in set(FILES) if Path(ROOT / name).exists())


def test_the_document_names_many_things():
    assert len(set(FILES)) > 20
    assert len(set(WORDS)) > 20


@pytest.mark.parametrize("name", sorted(set(FILES)))
def test_file_exists(name):
    assert (ROOT / name).exists()


@pytest.mark.parametrize("name", sorted(set(WORDS)))
def test_name_is_defined_in_a_file_of_the_path(name):
    word = name.rsplit(".", 1)[-1]
    assert re.search(rf"(def|class|FUNCTION) {word}\b|^{word}\b.*=", CODE, re.MULTILINE), name


def test_every_module_of_the_spine_is_walked():
    spine = ["views", "deliveries", "intake", "record", "judging", "transitions", "inbox", "adoption", "refusals"]
    assert [name for name in spine if f"agents/{name}.py" not in FILES] == []


PLACED = re.findall(r"`([A-Za-z_]\w*)`\s+(?:in|of)\s+`([^`]+\.py)`", TEXT)


@pytest.mark.parametrize(("word", "file"), PLACED)
def test_name_is_where_the_document_says(word, file):
    assert re.search(rf"(def|class|FUNCTION) {word}\b|^{word}\b.*=", (ROOT / file).read_text(), re.MULTILINE)
