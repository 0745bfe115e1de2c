"""Small enough to see whole: the sizes that ``docs/choices.md`` and the reader rely on."""

from tests.house.sources import functions, modules, name_of

FILE_LINES = 300
FUNCTION_LINES = 40
MEDIAN_LINES = 12


def test_files_can_be_read_at_one_sitting():
    lengths = {name_of(path): path.read_text().count("\n") for path in modules("headspace", "agents", "locks", "tests")}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_functions_fit_on_a_page():
    lengths = [
        (name_of(path), node.name, node.end_lineno - node.lineno + 1) for path in modules() for node in functions(path)
    ]
    assert [item for item in lengths if item[2] > FUNCTION_LINES] == []


def test_most_functions_are_short():
    lengths = sorted(node.end_lineno - node.lineno + 1 for path in modules() for node in functions(path))
    assert lengths[len(lengths) // 2] <= MEDIAN_LINES
