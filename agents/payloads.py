"""A hook's body as an object that may be stored: strict JSON in, nothing in it that the database would refuse."""

import json
import math
import re
from typing import Any, NoReturn

from agents.errors import NotJson

DEPTH_LIMIT = 100
"""Levels of objects and lists inside each other; a vendor's payload has fewer than ten."""

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What PostgreSQL takes in no text: NUL, and halves of a surrogate pair without the other half."""

UNSTORABLE_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""The only way that such a character can come in: raw, neither UTF-8 nor JSON lets it pass."""

REPLACEMENT = "\ufffd"


def decode(body: bytes) -> dict[str, Any]:
    """Return the object that the body is, safe to store as jsonb.

    NUL and lone surrogates are replaced by U+FFFD. Raises ``NotJson``, and nothing else, for what is not UTF-8, not
    JSON, not an object, deeper than ``DEPTH_LIMIT``, or has a number that is none or too long to be one.
    """
    payload = _parsed(body)
    if not isinstance(payload, dict):
        raise NotJson("The body is not a JSON object.")
    # As many brackets as levels at least: an ordinary body is let off with two counts and no walk.
    if body.count(b"{") + body.count(b"[") > DEPTH_LIMIT and _deeper_than(DEPTH_LIMIT, payload):
        raise NotJson(f"The body is nested deeper than {DEPTH_LIMIT} levels.")
    clean: dict[str, Any] = _cleaned(payload) if UNSTORABLE_ESCAPE.search(body) else payload
    return clean


def shortened(payload: dict[str, Any], limit: int, *, size: int | None = None) -> tuple[dict[str, Any], bool]:
    """Return the payload with no text in it, key or value, longer than ``limit`` characters, and whether one was.

    A text that is cut ends in a mark with its full length; mark included it is ``limit`` long, so cutting twice
    changes nothing. ``size`` is the body's length in bytes, where known: a body within the limit holds no longer text.
    The payload itself is never changed.
    """
    if size is not None and size <= limit:
        return payload, False
    if not _has_longer(limit, payload):
        return payload, False
    cut: dict[str, Any] = _cut(payload, limit)
    return cut, True


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(digits: str) -> float:
    # 1e400 is JSON, but to Python it is infinite, and what it would write back is not JSON any more.
    number = float(digits)
    return number if math.isfinite(number) else _refused(digits)


_DECODER = json.JSONDecoder(parse_constant=_refused, parse_float=_finite)


def _parsed(body: bytes) -> Any:
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        raise NotJson(f"The body is nested deeper than {DEPTH_LIMIT} levels.") from None
    except ValueError:
        # All of it: bad UTF-8, bad JSON, and an integer with more digits than Python turns into a number.
        raise NotJson("The body is not JSON in UTF-8.") from None


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _deeper_than(levels: int, value: Any) -> bool:
    """Whether it is nested deeper, found level by level: a recursion would end where the danger begins."""
    layer = [value]
    for _ in range(levels):
        layer = [child for parent in layer for child in _children(parent) if isinstance(child, dict | list)]
        if not layer:
            return False
    return True


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value


def _has_longer(limit: int, value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > limit
    if isinstance(value, dict) and any(len(key) > limit for key in value):
        return True
    return any(_has_longer(limit, child) for child in _children(value))


def _cut(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return _marked(value, limit)
    if isinstance(value, list):
        return [_cut(item, limit) for item in value]
    if isinstance(value, dict):
        return {_marked(key, limit): _cut(item, limit) for key, item in value.items()}
    return value


def _marked(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    mark = f"… [cut: {len(text)} characters]"
    return text[: max(0, limit - len(mark))] + mark
