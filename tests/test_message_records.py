"""Messages as records: what is written is read, small ones as few objects, and nothing in another form is read."""

from __future__ import annotations

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from hypothesis import given
from hypothesis import strategies as st

from fedrec.errors import ProtocolError
from fedrec.message_records import SMALL, from_records, to_records
from fedrec.queries.wire import Part

names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1)
fields = st.dictionaries(names, st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1)))
parts = st.dictionaries(
    names,
    st.builds(
        Part,
        st.sampled_from(["uint8", "float16", "int64"]),
        st.lists(st.integers(0, 2**40), max_size=3).map(tuple),
        st.binary(),
    ),
)


def travelled(content: RecordDict) -> tuple[RecordDict, int]:
    """What arrives of a message's content, and in how many objects it is moved."""
    metadata = Metadata(1, "", 1, 2, "", "", 0.0, 1.0, "query.x")
    message = make_message(metadata, content)
    message.metadata.__dict__["_message_id"] = message.object_id
    objects = get_all_nested_objects(message)
    contents = {name: one.deflate() for name, one in objects.items()}
    arrived = inflate_object_from_contents(message.object_id, contents)
    assert isinstance(arrived, Message)
    return arrived.content, len(objects)


@given(fields, parts)
def test_what_was_written_is_read_and_moved_as_three_objects(
    said: dict[str, str | int], arrays: dict[str, Part]
) -> None:
    arrived, objects = travelled(to_records(said, arrays))
    assert from_records(arrived) == (said, arrays)
    assert objects == 3


def test_large_arrays_travel_as_flowers_own() -> None:
    arrays = {"pool": Part("uint8", (SMALL,), bytes(SMALL)), "one": Part("uint8", (1,), b"1")}
    content = to_records({"format": 1}, arrays)
    assert set(content) == {"fields", "arrays"}
    arrived, objects = travelled(content)
    assert from_records(arrived) == ({"format": 1}, arrays)
    assert objects > 3


def test_the_form_follows_from_the_size_alone() -> None:
    for size in (SMALL - 1, SMALL, SMALL + 1):
        small = set(to_records({}, {"a": Part("uint8", (size,), bytes(size))})) == {"fields"}
        assert small == (size <= SMALL)


ARRAY = {"array.a": b"1", "dtype.a": "uint8", "shape.a": [1]}
LARGE = Array("uint8", (SMALL + 1,), "fedrec.raw", bytes(SMALL + 1))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"fields": ArrayRecord()},
        {"fields": ConfigRecord(), "arrays": ConfigRecord()},
        {"fields": ConfigRecord(), "metrics": MetricRecord({"a": 1})},
        {"fields": ConfigRecord(), "arrays": ArrayRecord()},
        {"fields": ConfigRecord(), "arrays": ArrayRecord({"a": Array("uint8", (1,), "fedrec.raw", b"1")})},
        {"fields": ConfigRecord({"array.a": bytes(SMALL + 1), "dtype.a": "uint8", "shape.a": [SMALL + 1]})},
        {"fields": ConfigRecord(), "arrays": ArrayRecord({"a": LARGE}), "more": ConfigRecord()},
        *(
            {"fields": ConfigRecord({key: value for key, value in ARRAY.items() if key != kind})}
            for kind in list(ARRAY)[1:]
        ),
        {"fields": ConfigRecord({**ARRAY, "array.a": "1"})},
        {"fields": ConfigRecord({**ARRAY, "dtype.a": b"uint8"})},
        {"fields": ConfigRecord({**ARRAY, "shape.a": [1.0]})},
        {"fields": ConfigRecord({**ARRAY, "shape.a": 1})},
    ],
)
def test_another_form_is_refused(content: dict[str, ArrayRecord | ConfigRecord | MetricRecord]) -> None:
    with pytest.raises(ProtocolError):
        from_records(RecordDict(content))


def test_a_type_or_a_shape_without_an_array_stays_a_field_that_nobody_expects() -> None:
    said, arrays = from_records(RecordDict({"fields": ConfigRecord({"dtype.a": "uint8", "shape.a": [1]})}))
    assert set(said) == {"dtype.a", "shape.a"}
    assert not arrays
