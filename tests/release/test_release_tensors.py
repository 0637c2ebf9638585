"""Headers of array files that are not what their files hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from fedrec.errors import ReleaseError
from fedrec.release.manifest import LARGEST_VERSION, next_version
from fedrec.release.tensors import LARGEST_HEADER, arrays_of, check_header


def file_of(header: Any, data: bytes = b"\0" * 16) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def array(shape: list[Any], first: int = 0, last: int = 16, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def test_what_safetensors_writes_passes() -> None:
    arrays = {
        "a": np.zeros((3, 2), np.float32),
        "b": np.zeros(3, np.bool_),
        "c": np.zeros((0, 4), np.float64),
        "d": np.zeros((), np.int64),
        "e": np.ones((2, 3, 4), np.uint8),
        "f": np.ones(5, np.float16),
    }
    check_header(save(arrays, {"made": "by a test"}), "x")
    check_header(save({}), "x")
    check_header(file_of({"a": array([4])}), "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        (LARGEST_HEADER + 1).to_bytes(8, "little") + b" " * (LARGEST_HEADER + 1),
        (2**63).to_bytes(8, "little") + b"{}",
        file_of([]),
        file_of({"a": []}),
        file_of({"a": array([2**40, 2**40])}),
        file_of({"a": array([5])}),
        file_of({"a": array([3])}),
        file_of({"a": array([-4])}),
        file_of({"a": array([True, 4])}),
        file_of({"a": array([4.0])}),
        file_of({"a": array([4], 16, 0)}),
        file_of({"a": array([4], dtype="I128")}),
        file_of({"a": array([4]), "b": array([4])}),
        file_of({"a": array([1], 0, 4), "b": array([2], 8, 16)}),
        file_of({"a": array([2], 0, 8)}),
        file_of({"a": array([8], 0, 32)}),
        file_of({}),
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
    ],
)
def test_a_header_that_lies_is_refused(data: bytes) -> None:
    with pytest.raises(ReleaseError):
        check_header(data, "x")


def test_versions_rise_with_time_and_above_the_last() -> None:
    first = next_version("2026-11-22T05:00:00Z", 0)
    assert first == 1_795_323_600
    assert next_version("2026-11-22T05:00:00Z", first) == first + 1
    assert next_version("2026-11-22T05:00:01Z", 0) == first + 1
    assert next_version("1969-01-01T00:00:00Z", 0) == 1
    with pytest.raises(ReleaseError):
        next_version("2026-11-22T05:00:00Z", LARGEST_VERSION)
    with pytest.raises(ReleaseError):
        next_version("yesterday", 0)


def test_arrays_are_those_that_were_saved_and_are_not_copied() -> None:
    kinds = (np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_)
    arrays = {f"a{n}": (np.arange(6) % 2).astype(kind).reshape(2, 3) for n, kind in enumerate(kinds)}
    arrays["empty"], arrays["one"] = np.zeros((0, 4), dtype=np.float32), np.array(3.0)
    data = save(arrays, {"made": "by a test"})
    found = arrays_of(data, "x")
    assert set(found) == set(arrays)
    for name, array in found.items():
        assert array.dtype == arrays[name].dtype and np.array_equal(array, arrays[name])
        assert not array.flags.writeable and array.base is not None
