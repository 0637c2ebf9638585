from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fedrec.content.bundle import pack, unpack, write_atomically
from fedrec.errors import ContentError

some_arrays = st.dictionaries(
    st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=5),
    npst.arrays(
        st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_]),
        npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    max_size=3,
)
some_json = st.dictionaries(st.text(max_size=4), st.none() | st.integers() | st.text(max_size=6), max_size=3)
SAMPLE = pack({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True])}, {"x": [1, "ä"]})


@given(some_arrays, some_json)
@settings(deadline=None)
def test_what_is_packed_comes_back(arrays: dict[str, np.ndarray], meta: dict[str, object]) -> None:
    data = pack(arrays, meta)
    assert data == pack(dict(reversed(arrays.items())), dict(reversed(meta.items())))
    got, got_meta = unpack(data)
    assert got_meta == meta and got.keys() == arrays.keys()
    for name, array in arrays.items():
        assert got[name].dtype == array.dtype and got[name].shape == array.shape
        assert got[name].tobytes() == array.tobytes()


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    damaged = bytearray(SAMPLE)
    damaged[place] ^= change
    try:
        arrays, meta = unpack(bytes(damaged))
    except ContentError:
        return
    # JSON allows a few spellings of the same header; content that differs must never come through.
    assert pack(arrays, meta) == SAMPLE


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_cut_file_is_noticed(length: int) -> None:
    with pytest.raises(ContentError, match="damaged"):
        unpack(SAMPLE[:length])


@given(st.binary(max_size=100))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(ContentError, match="damaged"):
        unpack(data)


def test_values_that_json_lacks_cannot_be_packed() -> None:
    with pytest.raises(ValueError):
        pack({}, {"x": float("nan")})


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two" and list(path.parent.iterdir()) == [path]


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ContentError, match="cannot write"):
        write_atomically(tmp_path / "file" / "below", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ContentError, match="cannot write"):
        write_atomically(tmp_path / "folder", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
