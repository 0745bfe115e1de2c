"""Edits of a JSON text that leave every byte alone which they are not about.

A path is a sequence of keys and indices from the root. The text is valid JSON, its root an object without doubled keys.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Step = str | int
Path = Sequence[Step]

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Child:
    """One member or element: its step in the path, where it starts, where its value starts and ends."""

    step: Step
    start: int
    value: int
    end: int


@dataclass(frozen=True)
class Layout:
    """How a text is laid out: its line ending (empty where all is on one line) and one step of indentation."""

    newline: str
    indent: str


def layout_of(text: str) -> Layout:
    """Return the layout that additions follow; a text without content gets two spaces."""
    if not json.loads(text):
        return Layout("\r\n" if "\r\n" in text else "\n", "  ")
    first = re.match(r"\s*\{[ \t]*(\r?\n)\s*?([ \t]*)\S", text)
    return Layout(first[1], first[2]) if first else Layout("", "")


def _past_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _child(text: str, start: int, index: int | None) -> Child:
    """Return the child at a position; an element has an index, a member a key."""
    step: Step
    if index is None:
        step, end = _DECODER.raw_decode(text, start)
        value = _past_space(text, _past_space(text, end) + 1)
    else:
        step, value = index, start
    return Child(step, start, value, _DECODER.raw_decode(text, value)[1])


def children(text: str, container: int) -> list[Child]:
    """Return what is in the object or array that starts at a position."""
    found: list[Child] = []
    position = _past_space(text, container + 1)
    while text[position] not in "}]":
        found.append(_child(text, position, len(found) if text[container] == "[" else None))
        position = _past_space(text, found[-1].end)
        if text[position] == ",":
            position = _past_space(text, position + 1)
    return found


def place_of(text: str, path: Path) -> int:
    """Return where the value at a path starts; raises ``KeyError`` when there is none."""
    position = _past_space(text, 0)
    for step in path:
        inside = children(text, position) if text[position] in "{[" else []
        at = next((child.value for child in inside if child.step == step), None)
        if at is None:
            raise KeyError(step)
        position = at
    return position


def _line_indent(text: str, position: int) -> str:
    """Return the white space at the start of the line that a position is on."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _own_line(text: str, position: int) -> bool:
    """Whether nothing but white space stands before a position on its line, and it is not the first line."""
    newline = text.rfind("\n", 0, position)
    return newline >= 0 and not text[newline + 1 : position].strip(" \t")


def _written(value: Any, key: str | None, layout: Layout, prefix: str) -> str:
    """Return a child as text; ``prefix`` is the indentation of the line it begins on."""
    label = "" if key is None else json.dumps(key) + ": "
    if not layout.newline:
        return label + json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=layout.indent).split("\n")
    return label + (layout.newline + prefix).join(lines)


def appended(text: str, path: Path, value: Any, *, key: str | None = None) -> str:
    """Return the text with one more child at the end of the container at a path; a member needs a key."""
    layout, container = layout_of(text), place_of(text, path)
    inside = children(text, container)
    if inside:
        return _appended_behind(text, inside[-1], layout, (key, value))
    end = _past_space(text, container + 1)
    outer = _line_indent(text, container)
    before, after = layout.newline + outer + layout.indent, layout.newline + outer
    if not layout.newline:
        before = after = ""
    return text[: container + 1] + before + _written(value, key, layout, outer + layout.indent) + after + text[end:]


def _appended_behind(text: str, last: Child, layout: Layout, child: tuple[str | None, Any]) -> str:
    """Return the text with a child behind the last one: on a line of its own where that one is."""
    key, value = child
    if layout.newline and _own_line(text, last.start):
        prefix = _line_indent(text, last.start)
        gap = layout.newline + prefix
    else:
        layout, prefix, gap = Layout("", ""), "", " "
    return f"{text[: last.end]},{gap}{_written(value, key, layout, prefix)}{text[last.end :]}"


def removed(text: str, path: Path) -> str:
    """Return the text without the child at a path, its comma and the white space between it and its neighbour."""
    *outer, step = path
    inside = children(text, place_of(text, outer))
    index = next(number for number, child in enumerate(inside) if child.step == step)
    child = inside[index]
    if index:
        return text[: inside[index - 1].end] + text[child.end :]
    if len(inside) > 1:
        return text[: child.start] + text[inside[1].start :]
    container = place_of(text, outer)
    return text[: container + 1] + text[_past_space(text, child.end) :]
