"""The one door: exact in the ring, refuses what is beyond its bound, and cannot overflow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.aggregation.private_sum import PrivateSum
from fedrec.aggregation.question import Question
from fedrec.errors import FedrecError, ProtocolError, SumError


def a_sum(length: int = 5, rows: int = 10, bound: float = 1.5) -> PrivateSum:
    return PrivateSum.of("training", length, bound, rows, resolution_bits=12)


def on_the_sphere(rng: np.random.Generator, length: int, radius: float) -> np.ndarray:
    vector = rng.normal(size=length)
    return vector / np.linalg.norm(vector) * radius


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_the_opened_sum_is_the_sum_up_to_half_a_step_a_device(length: int, devices: int, seed: int) -> None:
    agreed = a_sum(length, devices)
    rng = np.random.default_rng(seed)
    parts = [on_the_sphere(rng, length, agreed.bound) for _ in range(devices)]
    total = None
    for part in parts:
        share = agreed.encode(part)
        assert len(share) == agreed.bytes_up
        total = agreed.add(total, share)
    np.testing.assert_allclose(agreed.open(total), np.sum(parts, axis=0), atol=agreed.resolution / 2 * devices + 1e-12)


def test_the_worst_case_does_not_overflow() -> None:
    agreed = a_sum(length=1, rows=1000)
    total = None
    for _ in range(1000):
        total = agreed.add(total, agreed.encode(np.array([-agreed.bound])))
    np.testing.assert_allclose(agreed.open(total), [-1500.0])


def test_one_device_cannot_move_the_opened_sum_beyond_the_sensitivity() -> None:
    agreed = PrivateSum.of("training", 200, 1.0, 3, resolution_bits=8)
    rng = np.random.default_rng(0)
    for _ in range(50):
        share = agreed.encode(on_the_sphere(rng, 200, 1.0))
        moved = np.linalg.norm(agreed.open(agreed.add(None, share)))
        assert moved <= agreed.sensitivity
    assert agreed.sensitivity > agreed.bound


@pytest.mark.parametrize(
    ("vector", "rows", "says"),
    [
        (np.zeros(4), 1, "wrong shape"),
        (np.full(5, 10.0), 1, "beyond its bound"),
        (np.full(5, np.nan), 1, "beyond its bound"),
        (np.zeros(5), 11, "more rows"),
        (np.zeros(5), 0, "more rows"),
    ],
)
def test_a_contribution_that_breaks_the_agreement_never_gets_out(vector: np.ndarray, rows: int, says: str) -> None:
    with pytest.raises(SumError, match=says):
        a_sum().encode(vector, rows)


def test_a_share_of_another_length_is_refused() -> None:
    agreed = a_sum()
    with pytest.raises(SumError):
        agreed.add(None, agreed.encode(np.zeros(5))[:-1])


@pytest.mark.parametrize(
    "fields", [{"length": 0}, {"rows": 0}, {"bound": -1.0}, {"bound": float("inf")}, {"resolution": 9.0}]
)
def test_absurd_agreements_are_refused(fields: dict[str, float]) -> None:
    given_fields = {"name": "x", "length": 3, "bound": 1.0, "resolution": 0.25, "rows": 2} | fields
    with pytest.raises(SumError):
        PrivateSum(**given_fields)  # type: ignore[arg-type]


def test_a_question_survives_the_wire() -> None:
    question = Question("training", 7, a_sum(), {"pool": np.arange(3)}, {"normalise": 1.0})
    again = Question.from_parts(question.header(), question.arrays)
    assert again.header() == question.header()
    assert (again.sum, again.round, again.query) == (question.sum, 7, "training")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_question_is_an_error_that_can_be_read(data: st.DataObject) -> None:
    header = Question("metrics", 1, a_sum()).header()
    place = data.draw(st.integers(0, len(header) - 1))
    damaged = header[:place] + data.draw(st.characters(codec="utf-8")) + header[place + 1 :]
    try:
        Question.from_parts(damaged, {})
    except FedrecError as error:
        assert str(error)


@pytest.mark.parametrize("header", ["", "[]", "{}", '{"format":1}', "nonsense"])
def test_what_is_no_question_is_refused(header: str) -> None:
    with pytest.raises(ProtocolError, match="cannot be read"):
        Question.from_parts(header, {})


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_what_honest_rows_add_up_to_always_passes_and_a_little_more_never_does(
    length: int, rows: int, seed: int
) -> None:
    agreed = a_sum(length, rows=40)
    direction = on_the_sphere(np.random.default_rng(seed), length, 1.0)
    # The worst case: all rows point the same way, each rounded on its own.
    share = agreed.encode(direction * agreed.bound)
    total = None
    for _ in range(rows):
        total = agreed.add(total, share, rows=1)
    agreed.check_sum(agreed.open(total), rows)
    with pytest.raises(SumError):
        agreed.check_sum(direction * rows * agreed.sensitivity * 1.001, rows)


def test_a_share_beyond_the_bound_of_its_rows_is_found_where_it_can_be_seen() -> None:
    agreed = a_sum(length=4)
    share = agreed.ring.pack(agreed.ring.encode(np.array([2 * agreed.bound, 0, 0, 0]), agreed.resolution))
    agreed.add(None, share, rows=2)
    agreed.add(None, share)
    with pytest.raises(SumError):
        agreed.add(None, share, rows=1)
