"""Any bytes at all: an object that PostgreSQL can store, or refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import NotJson
from agents.payloads import DEPTH_LIMIT, decode, shortened
from tests.agents.payload_files import ROOT


def nested(levels):
    """Return an object with that many levels, its own included."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def texts(value):
    """Yield every text in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


# decode


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.json")), ids=lambda path: path.name)
def test_an_ordinary_body_is_what_it_says(path):
    assert decode(path.read_bytes()) == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"{", b"{} {}", b"hello", b"{'a': 1}", b'{"a": 1,}', b'{"a": "\x00"}', b'{"a": "\n"}'),
        *(b"\xff", b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b'{"a": "\xc0\x80"}', '{"a": 1}'.encode("utf-16")),
        *(b"[]", b"[{}]", b"null", b"true", b"7", b'"text"'),
        *(b'{"a": NaN}', b'{"a": Infinity}', b'{"a": [-Infinity]}', b'{"a": 1e400}', b'{"a": -1e999}'),
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"9" * 400 + b".0}",
    ],
    ids=lambda body: ascii(body[:20]),
)
def test_what_is_no_storable_object_is_refused(body):
    with pytest.raises(NotJson):
        decode(body)


def test_a_body_may_be_nested_100_levels_and_no_deeper():
    assert DEPTH_LIMIT == 100
    assert decode(nested(100)) == json.loads(nested(100))
    with pytest.raises(NotJson, match="deeper"):
        decode(nested(101))


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"a":' * 500_000, nested(50_000)])
def test_a_body_nested_beyond_pythons_own_limit_is_refused(body):
    with pytest.raises(NotJson):
        decode(body)


def test_many_brackets_side_by_side_are_not_deep():
    assert decode(b'{"a": [' + b"[]," * 5000 + b'"[[{{"]}')["a"][-1] == "[[{{"


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (rb"a\u0000b", "a\ufffdb"),
        (rb"\ud800", "\ufffd"),
        (rb"\uDFFF\uD800", "\ufffd\ufffd"),
        (rb"\ud83d\ude00", "\U0001f600"),
        (rb"\\u0000", "\\u0000"),
        (rb"\u001b[0m\u0009", "\x1b[0m\t"),
        ("é\U0001f600".encode(), "é\U0001f600"),
    ],
)
def test_what_postgresql_takes_in_no_text_is_replaced(escaped, text):
    assert decode(b'{"a": [{"b": "' + escaped + b'"}]}') == {"a": [{"b": text}]}
    assert decode(b'{"' + escaped + b'": 1}') == {text: 1}


@pytest.mark.parametrize("number", ["0", "-0.0", "1e308", "1e-400", "9" * 4000, "0." + "1" * 4000])
def test_a_number_that_is_one_passes(number):
    assert json.dumps(decode(f'{{"a": {number}}}'.encode())["a"]) == json.dumps(json.loads(number))


JSON_TEXT = st.text(max_size=20) | st.sampled_from(["\x00", "\ud800", "\udc00x", "\ufffd", "\U0001f600"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True, allow_infinity=True) | JSON_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(JSON_TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, database=None)
@given(body=st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ud08fNn1e.- ', max_size=40).map(str.encode))
def test_any_bytes_are_an_object_or_not_json(body):
    try:
        payload = decode(body)
    except NotJson:
        return
    assert isinstance(payload, dict)


@settings(max_examples=300, deadline=None, database=None)
@given(value=st.dictionaries(JSON_TEXT, JSON_VALUES, max_size=4), ensure_ascii=st.booleans())
def test_what_is_decoded_can_be_stored(value, ensure_ascii):
    try:
        payload = decode(json.dumps(value, ensure_ascii=ensure_ascii).encode("utf-8", "surrogatepass"))
    except NotJson:
        return
    json.dumps(payload, ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert not any("\x00" in text for text in texts(payload))


# shortened


def test_a_long_text_is_cut_to_the_limit_and_tells_its_length():
    payload, cut = shortened({"a": ["x" * 101, "y" * 100], "b": 7}, 100)
    assert cut
    assert payload == {"a": ["x" * 77 + "… [cut: 101 characters]", "y" * 100], "b": 7}
    assert len(payload["a"][0]) == 100


def test_a_long_key_is_cut_too():
    payload, cut = shortened({"k" * 1000: {"l" * 1000: 1}}, 100)
    assert cut
    assert max(map(len, texts(payload))) == 100


@pytest.mark.parametrize("size", [None, 5, 5000])
def test_a_payload_without_a_long_text_is_handed_back_itself(size):
    payload = {"a": ["x" * 99, {"b": None}]}
    assert shortened(payload, 100, size=size) == (payload, False)
    assert shortened(payload, 100, size=size)[0] is payload


def test_the_payload_itself_is_never_changed():
    payload = {"a": ["x" * 200]}
    shortened(payload, 100)
    assert payload == {"a": ["x" * 200]}


def test_a_body_within_the_limit_is_not_even_looked_at():
    class Sealed(dict):
        def __iter__(self):
            raise AssertionError("walked")

        values = items = __iter__

    sealed = Sealed(a="x")
    assert shortened(sealed, 100, size=100) == (sealed, False)
    with pytest.raises(AssertionError, match="walked"):
        shortened(sealed, 100, size=101)


@settings(max_examples=200, deadline=None, database=None)
@given(value=st.dictionaries(st.text(max_size=80), JSON_VALUES, max_size=4), limit=st.integers(40, 60))
def test_no_text_is_longer_than_the_limit_and_cutting_again_changes_nothing(value, limit):
    value = {**value, "long": ["x" * 61]}
    payload, cut = shortened(value, limit)
    assert cut
    assert all(len(text) <= limit for text in texts(payload))
    assert shortened(payload, limit) == (payload, False)
