"""Canonical JSON: what is in that form is read back, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.errors import ReleaseError
from fedrec.release import canonical

TEXTS = st.text(st.sampled_from('ab"\\\n\x00\x7f ,[]{}:\N{SNOWMAN}\ud800'), max_size=4)
TABLES = st.dictionaries(TEXTS, st.lists(st.one_of(TEXTS, st.integers(-2, 2)), max_size=3), max_size=3)


def by_encoding(data: bytes) -> Any:
    """The rule as it is said: what JSON says of the bytes, if encoding that gives the same bytes; else None."""
    try:
        value = json.loads(data)
        same = isinstance(value, dict) and canonical.encode(value, what="it") == data
    except (ValueError, RecursionError, ReleaseError):
        return None
    return value if same else None


def by_decoding(data: bytes) -> Any:
    try:
        return canonical.decode(data, what="it")
    except ReleaseError:
        return None


@given(TABLES, st.data())
def test_tables_of_texts_are_held_to_the_one_form(table: dict[str, Any], data: st.DataObject) -> None:
    escaped, ordered = data.draw(st.booleans()), data.draw(st.booleans())
    separators = data.draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps(table, separators=separators, ensure_ascii=escaped, sort_keys=ordered)
    written = text.encode("utf-8", "surrogatepass")
    assert by_decoding(written) == by_encoding(written)


@pytest.mark.parametrize(
    "written",
    [
        '{"ids":["a\\"b"],"titles":["c"]}',
        '{"ids":["a","b"],"titles":["c\\n","d"]}',
        '{"ids":["a\\u0022,\\u0022b"]}',
        '{"ids":[""]}',
        '{"ids":[]}',
        '{"a\\"":["b"]}',
        '{"b":["x"],"a":["y"]}',
        '{"a":["x"],"a":["y"]}',
        '{"ids":["\\u2603"]}',
        '{"ids":["a"],"n":1}',
        '{"ids":["a",1]}',
        '{"ids": ["a"]}',
        '["ids"]',
        "{}",
    ],
)
def test_odd_tables_are_read_where_encoding_them_gives_the_same_bytes(written: str) -> None:
    data = written.encode()
    assert by_decoding(data) == by_encoding(data)
