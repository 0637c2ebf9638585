"""The wire form: everything comes back as it was, and nothing but what was agreed is read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedrec.errors import ProtocolError
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.queries.wire import Envelope, Part, answer_fields, answer_parts, read_share

AGREED = PrivateSum.of("popularity", 5, 1.0, 10, resolution_bits=20)


def asked() -> Envelope:
    request = Request("popularity", 0, 0, AGREED, {"items": np.arange(3)}, {"normalise": 1.0})
    return Envelope(request, "session", "catalogue")


@given(
    st.sampled_from([np.float32, np.int32, np.int64]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    )
)
def test_an_array_comes_back_bit_by_bit(array: np.ndarray) -> None:
    part = Part.of(array)
    back = part.array()
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


def test_bytes_on_the_wire_are_little_endian_whatever_the_array_is() -> None:
    assert Part.of(np.array([1, 256], dtype=">i4")).data == bytes([1, 0, 0, 0, 0, 1, 0, 0])


@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.object_, np.bool_])
def test_an_array_of_another_type_does_not_travel(dtype: type) -> None:
    with pytest.raises(ProtocolError):
        Part.of(np.zeros(3, dtype=dtype))


@pytest.mark.parametrize(
    "part",
    [
        Part("object", (1,), b"\0" * 8),
        Part("float64", (1,), b"\0" * 8),
        Part("float32", (2,), b"\0" * 7),
        Part("float32", (10**12,), b"\0" * 8),
        Part("float32", (-1, -2), b"\0" * 8),
        Part("nonsense", (1,), b"\0" * 4),
    ],
)
def test_an_array_that_does_not_fit_itself_is_refused(part: Part) -> None:
    with pytest.raises(ProtocolError):
        part.array()


def test_a_question_comes_back() -> None:
    sent = asked()
    read = Envelope.read(sent.fields(), sent.parts())
    assert (read.session, read.catalogue) == ("session", "catalogue")
    assert read.request.header() == sent.request.header()
    np.testing.assert_array_equal(read.request.arrays["items"], [0, 1, 2])


@pytest.mark.parametrize(
    "change",
    [
        {"more": "x"},
        {"session": 5},
        {"request": "{"},
        {"request": "[]"},
        {"request": json.dumps({**json.loads(asked().request.header()), "extra": 1})},
        {"request": asked().request.header().replace('"rows":10', '"rows":0')},
        {"request": asked().request.header().replace('"popularity"', '"history"')},
    ],
)
def test_a_question_of_another_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        Envelope.read({**asked().fields(), **change}, asked().parts())


def test_a_question_without_a_field_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Envelope.read({"request": asked().request.header()}, {})


def test_a_share_is_read_as_it_was_sent() -> None:
    share = AGREED.encode(np.full(5, 0.25))
    assert read_share(answer_fields(), answer_parts(share), AGREED) == share


SHARE = AGREED.encode(np.zeros(5))


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({}, answer_parts(SHARE)),
        ({**answer_fields(), "num_examples": 7}, answer_parts(SHARE)),
        ({**answer_fields(), "protocol": "other"}, answer_parts(SHARE)),
        (answer_fields(), {}),
        (answer_fields(), {**answer_parts(SHARE), "metrics": answer_parts(SHARE)["share"]}),
        (answer_fields(), answer_parts(SHARE + b"\0")),
        (answer_fields(), answer_parts(SHARE[:-1])),
        (answer_fields(), {"share": Part("uint8", (len(SHARE), 1), SHARE)}),
        (answer_fields(), {"share": Part("int8", (len(SHARE),), SHARE)}),
        (answer_fields(), {"share": Part("uint8", (len(SHARE),), SHARE[:-2])}),
    ],
)
def test_an_answer_of_another_form_is_not_a_share(fields: dict[str, object], parts: dict[str, Part]) -> None:
    with pytest.raises(ProtocolError):
        read_share(fields, parts, AGREED)
