"""What leaves an encoder is one that the sum takes, whatever it was; and broadcasts are held to limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedrec.errors import ProtocolError
from fedrec.queries.device.bounded import bounded
from fedrec.queries.device.public_check import check_array, check_item_vectors
from fedrec.queries.private_sum import PrivateSum

PLAIN = PrivateSum.of("plain", 5, 1.5, 4, limit=1.0)
ROTATED = PrivateSum.rotated("rotated", 5, 1.5, 4, seed=bytes(32), expected=4)


@given(arrays(np.float64, 5, elements=st.floats(width=64)), st.integers(1, 4), st.sampled_from([PLAIN, ROTATED]))
def test_any_vector_becomes_one_that_the_sum_takes(vector: np.ndarray, rows: int, agreed: PrivateSum) -> None:
    held = bounded(agreed, vector, rows)
    assert len(agreed.encode(held, rows)) == agreed.bytes_up
    assert np.linalg.norm(held) <= rows * agreed.bound * (1 + 1e-12)


@pytest.mark.parametrize("agreed", [PLAIN, ROTATED])
def test_what_is_within_the_bound_is_not_changed(agreed: PrivateSum) -> None:
    vector = np.array([0.5, -0.25, 0.0, 1e-300, 0.125])
    np.testing.assert_array_equal(bounded(agreed, vector, 1), vector)


def test_without_it_rounding_is_refused() -> None:
    vector = np.full(5, 1.5 / np.sqrt(5)) * 1.001
    with pytest.raises(Exception, match="beyond its bound"):
        ROTATED.encode(vector)
    ROTATED.encode(bounded(ROTATED, vector, 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e4, -2e4])
def test_an_array_with_one_bad_number_is_refused(bad: float) -> None:
    values = np.ones(7, np.float32)
    check_array("parameters", values)
    values[3] = bad
    with pytest.raises(ProtocolError, match="parameters"):
        check_array("parameters", values)


def test_many_large_numbers_are_refused_by_their_norm() -> None:
    check_array("parameters", np.full(9_000, 9e3, np.float32))
    with pytest.raises(ProtocolError, match="norm"):
        check_array("parameters", np.full(20_000, 9e3, np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 11.0])
def test_one_item_of_the_catalogue_with_a_bad_vector_is_enough(bad: float) -> None:
    vectors = np.ones((4, 3), np.float32)
    check_item_vectors(vectors)
    vectors[2, 1] = bad
    with pytest.raises(ProtocolError, match="some item"):
        check_item_vectors(vectors)
