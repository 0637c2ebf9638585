"""What a person made is encoded once where it is kept, and every time where nothing may be kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedrec.client.own_content import OwnContentEncoder
from fedrec.content.encoder import Encoded, Problem


class Lengths:
    """Encodes a text as its length; what begins with ! cannot be read. Counts what it was given."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, pieces: Sequence[str]) -> Encoded:
        """One row a piece."""
        self.asked += pieces
        present = np.array([not piece.startswith("!") for piece in pieces])
        values = np.array([[len(piece), 1.0] for piece in pieces], dtype=np.float32) * present[:, None]
        return Encoded(values, present, tuple(Problem(int(place), "no") for place in np.flatnonzero(~present)))


def rows(encoder: OwnContentEncoder, pieces: Sequence[str]) -> list[list[float]] | None:
    found = encoder.encode("text", pieces)
    return None if found is None else found.values.tolist()


@given(st.lists(st.lists(st.text(max_size=3), max_size=6), max_size=6), st.integers(0, 4))
def test_it_is_what_encoding_all_anew_would_give(calls: list[list[str]], keeps: int) -> None:
    encoder = OwnContentEncoder(lambda: {"text": Lengths()}, keeps)
    for pieces in calls:
        expected = [[float(len(piece)), 1.0] for piece in pieces if not piece.startswith("!")]
        assert rows(encoder, pieces) == (expected or None)


def test_one_more_piece_encodes_that_piece_alone() -> None:
    lengths = Lengths()
    encoder = OwnContentEncoder(lambda: {"text": lengths}, 8)
    rows(encoder, ["a", "bb", "!"])
    rows(encoder, ["a", "bb", "!", "ccc"])
    assert lengths.asked == ["a", "bb", "!", "ccc"]
    encoder.forget()
    rows(encoder, ["a"])
    assert lengths.asked[-1] == "a" and len(lengths.asked) == 5


def test_no_more_is_kept_than_may_be_and_by_itself_nothing() -> None:
    lengths = Lengths()
    small = OwnContentEncoder(lambda: {"text": lengths}, 2)
    for pieces in (["a", "bb", "ccc"], ["ccc", "bb"], ["a"]):
        rows(small, pieces)
    assert lengths.asked == ["a", "bb", "ccc", "a"]
    nothing = OwnContentEncoder(lambda: {"text": lengths})
    rows(nothing, ["a"])
    rows(nothing, ["a"])
    assert lengths.asked[-2:] == ["a", "a"]
    assert nothing.encode("image", [b"x"]) is None and nothing.encode("text", []) is None
