"""Boxes: only the right key, sender, receiver and context open them, and no bit may change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import ProtocolError, SumError
from fedrec.secagg.sealed_shares import TAG_BYTES, open_box, seal

KEY = bytes(range(32))
NAMED = (KEY, b"alice", b"bob", b"round 1")


@settings(deadline=None, max_examples=50)
@given(
    key=st.binary(min_size=32, max_size=32), names=st.tuples(st.binary(), st.binary(), st.binary()), text=st.binary()
)
def test_what_is_sealed_opens(key: bytes, names: tuple[bytes, bytes, bytes], text: bytes) -> None:
    box = seal(key, *names, text)
    assert len(box) == len(text) + TAG_BYTES
    assert open_box(key, *names, box) == text


@pytest.mark.parametrize(
    "named",
    [
        (bytes(32), b"alice", b"bob", b"round 1"),
        (KEY, b"bob", b"alice", b"round 1"),
        (KEY, b"alice", b"carol", b"round 1"),
        (KEY, b"mallory", b"bob", b"round 1"),
        (KEY, b"alice", b"bob", b"round 2"),
        (KEY, b"aliceb", b"ob", b"round 1"),
        (KEY, b"alice", b"bobr", b"ound 1"),
        (KEY, b"", b"alicebob", b"round 1"),
    ],
)
def test_another_key_party_or_context_does_not_open(named: tuple[bytes, bytes, bytes, bytes]) -> None:
    box = seal(*NAMED, b"two shares")
    assert open_box(*NAMED, box) == b"two shares"
    with pytest.raises(ProtocolError, match="does not open"):
        open_box(*named, box)


@pytest.mark.parametrize("at", range(26))
def test_a_changed_byte_does_not_open(at: int) -> None:
    box = bytearray(seal(*NAMED, b"two shares"))
    assert len(box) == 26
    box[at] ^= 0x10
    with pytest.raises(ProtocolError, match="does not open"):
        open_box(*NAMED, bytes(box))


@pytest.mark.parametrize("length", [0, 1, 15, 16, 25])
def test_a_cut_box_does_not_open(length: int) -> None:
    with pytest.raises(ProtocolError, match="does not open"):
        open_box(*NAMED, seal(*NAMED, b"two shares")[:length])


def test_directions_and_contexts_never_share_a_key_stream() -> None:
    """With one stream, the difference of two boxes would be the difference of their texts: zero for equal ones."""
    text = bytes(64)
    boxes = {
        seal(KEY, *names, text)[:64]
        for names in ((b"a", b"b", b"1"), (b"b", b"a", b"1"), (b"a", b"b", b"2"), (b"a", b"c", b"1"))
    }
    assert len(boxes) == 4


def test_keys_of_another_length_are_refused() -> None:
    for key in (b"", bytes(31), bytes(33)):
        with pytest.raises(SumError, match="32 bytes"):
            seal(key, b"a", b"b", b"c", b"text")
        with pytest.raises(SumError, match="32 bytes"):
            open_box(key, b"a", b"b", b"c", bytes(20))
