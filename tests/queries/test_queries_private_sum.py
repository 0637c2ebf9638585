"""The one door: exact in the ring, refuses what is beyond its bound, and cannot overflow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import query_cases
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.config import Config
from fedrec.errors import FedrecError, ProtocolError, SumError
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.randomness import key
from fedrec.secagg import bits
from fedrec.secagg.rotation import unrotate

KEY = key(4, "private sum test")


def a_sum(length: int = 5, rows: int = 10, bound: float = 1.5) -> PrivateSum:
    return PrivateSum.of("training", length, bound, rows, resolution_bits=12)


def on_the_sphere(rng: np.random.Generator, length: int, radius: float) -> np.ndarray:
    vector = rng.normal(size=length)
    return vector / np.linalg.norm(vector) * radius


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_the_opened_sum_is_the_sum_up_to_a_step_a_device(length: int, devices: int, seed: int) -> None:
    agreed = a_sum(length, devices)
    rng = np.random.default_rng(seed)
    parts = [on_the_sphere(rng, length, agreed.bound) for _ in range(devices)]
    total = None
    for part in parts:
        share = agreed.encode(part)
        assert len(share) == agreed.bytes_up
        total = agreed.add(total, share)
    np.testing.assert_allclose(agreed.open(total), np.sum(parts, axis=0), atol=agreed.resolution * devices + 1e-12)


def test_the_worst_case_does_not_overflow() -> None:
    agreed = a_sum(length=1, rows=1000)
    total = None
    for _ in range(1000):
        total = agreed.add(total, agreed.encode(np.array([-agreed.bound])))
    np.testing.assert_allclose(agreed.open(total), [-1500.0])


@settings(max_examples=80, deadline=None)
@given(
    length=st.integers(1, 40),
    bound=st.floats(1e-3, 1e3),
    shares=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    rotated=st.booleans(),
    digits=st.sampled_from([None, 8, 13]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_legal_contributions_overflow(
    length: int, bound: float, shares: list[int], rotated: bool, digits: int | None, seed: int
) -> None:
    """Rows spread over devices in any way, every device as far out as it may be, all in one direction."""
    rows, turn = sum(shares), key(seed, "turn")
    if rotated:
        agreed = PrivateSum.rotated("t", length, bound, rows, seed=turn, expected=rows, resolution_bits=digits)
    else:
        agreed = PrivateSum.of("t", length, bound, rows, resolution_bits=digits)
    rng = np.random.default_rng(seed)
    direction = [on_the_sphere(rng, length, bound), -bound * np.eye(length)[seed % length]][seed % 2]
    if rotated and seed % 3 == 0:  # what the rotation turns into a single element, to be clipped there
        direction = unrotate(bound * np.eye(length)[seed % length], turn)
    total, exact = None, np.zeros(length, dtype=np.int64)
    for share in shares:
        encoded = agreed.encode(direction * share, share)
        assert len(encoded) == agreed.bytes_up == -(-length * agreed.ring.bits // 8)
        exact += agreed.ring.steps(agreed.add(None, encoded))
        total = agreed.add(total, encoded)
    assert np.array_equal(agreed.open(total), exact * agreed.resolution)
    assert np.abs(exact).max() <= rows * (agreed.element_bound * (1 + 1e-9) / agreed.resolution + 1)


def training_like(rows: int, length: int, alignment: float, seed: int) -> np.ndarray:
    """Clipped updates [rows, length]: of unit norm or less, uneven over the elements, a part of them in common."""
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(size=length))
    common, own = scale * rng.normal(size=length), scale * rng.normal(size=(rows, length))
    common *= alignment / np.linalg.norm(common)
    own *= np.sqrt(1 - alignment**2) / np.linalg.norm(own, axis=1, keepdims=True)
    parts = common + own
    return parts / np.maximum(1.0, np.linalg.norm(parts, axis=1, keepdims=True))


@pytest.mark.parametrize(("rows", "length"), [(100, 4425), (1000, 4425), (6000, 600)])
@pytest.mark.parametrize("alignment", [0.15, 0.9])
def test_the_opened_sum_of_updates_is_within_a_thousandth_at_the_default_bits(
    rows: int, length: int, alignment: float
) -> None:
    """Relative error of the sum; alignments are what training on the shop and on film ratings shows, and far above."""
    parts = training_like(rows, length, alignment, rows)
    request = query_cases.training(Config(), 1, np.zeros(length, np.float32), 50, rows)
    agreed, total = request.sum, None
    for number, part in enumerate(parts):
        total = agreed.add(total, agreed.encode(part, key=key(number, "rounding")))
    exact = parts.sum(axis=0)
    error = np.linalg.norm(agreed.read(agreed.open(total)) - exact) / np.linalg.norm(exact)
    assert error <= 1e-3
    assert agreed.ring.bits <= 20 + (rows > 1000) * 2
    if rows > 100:
        return
    # A grid sixteen times coarser, which four bits fewer would hold, would not do.
    coarse = replace(agreed, resolution=agreed.resolution * 16)
    total = None
    for number, part in enumerate(parts):
        total = coarse.add(total, coarse.encode(part, key=key(number, "rounding")))
    worse = np.linalg.norm(coarse.read(coarse.open(total)) - exact) / np.linalg.norm(exact)
    assert worse > 8 * error


@pytest.mark.parametrize("rotated", [False, True])
def test_the_opened_sum_has_no_bias(rotated: bool) -> None:
    """On a grid so coarse that rounding to the nearest step would lose everything, the mean over many sums is right."""
    length, times = 64, 2000
    agreed = PrivateSum.of("t", length, 1.0, 1, resolution_bits=0)
    if rotated:
        agreed = PrivateSum.rotated("t", length, 1.0, 1, seed=KEY, expected=1, resolution_bits=0)
    vector = np.full(length, 0.3 / 8) * np.sign(np.arange(length) - 20.5)
    opened = [agreed.read(agreed.open(agreed.add(None, agreed.encode(vector, key=key(n, "x"))))) for n in range(times)]
    error = (np.mean(opened, axis=0) - vector) * np.sqrt(times) / agreed.resolution
    # Each element's mean error has a variance of at most 1/4; the chi-square bound's chance is 1e-9.
    assert float((error**2).sum()) < 0.25 * 170
    assert abs(float(error.sum())) / np.sqrt(length / 4) < 6


def test_one_device_cannot_move_the_opened_sum_beyond_the_sensitivity() -> None:
    agreed = PrivateSum.of("training", 200, 1.0, 3, resolution_bits=8)
    rng = np.random.default_rng(0)
    for _ in range(50):
        share = agreed.encode(on_the_sphere(rng, 200, 1.0))
        moved = np.linalg.norm(agreed.open(agreed.add(None, share)))
        assert moved <= agreed.sensitivity
    assert agreed.sensitivity > agreed.bound


def test_an_element_beyond_its_limit_never_gets_out() -> None:
    agreed = PrivateSum.of("metrics", 3, 1.7, 4, limit=1.0)
    assert agreed.encode(np.array([1.0, 0.5, 1.0]))
    with pytest.raises(SumError, match="beyond its limit"):
        agreed.encode(np.array([1.2, 0.0, 0.0]))
    assert agreed.encode(np.array([1.2, 0.0, 0.0]), 2)


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
    "fields",
    [
        *({"length": 0}, {"rows": 0}, {"bound": -1.0}, {"bound": float("inf")}, {"resolution": 9.0}),
        *({"resolution": 0.3}, {"limit": 2.0}, {"limit": -1.0}, {"rotation": "ab"}, {"rotation": "x" * 64}),
    ],
)
def test_absurd_agreements_are_refused(fields: dict[str, float]) -> None:
    given_fields = {"name": "x", "length": 3, "bound": 1.0, "resolution": 0.25, "rows": 2} | fields
    with pytest.raises(SumError):
        PrivateSum(**given_fields)  # type: ignore[arg-type]


def test_a_question_survives_the_wire() -> None:
    request = Request("training", 7, 9, a_sum(), {"pool": np.arange(3)}, {"normalise": 1.0})
    again = Request.from_parts(request.header(), request.arrays)
    assert again.header() == request.header()
    assert (again.sum, again.round, again.number, again.query) == (request.sum, 7, 9, "training")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_question_is_an_error_that_can_be_read(data: st.DataObject) -> None:
    header = Request("metrics", 1, 5, a_sum()).header()
    place = data.draw(st.integers(0, len(header) - 1))
    damaged = header[:place] + data.draw(st.characters(codec="utf-8")) + header[place + 1 :]
    try:
        Request.from_parts(damaged, {})
    except FedrecError as error:
        assert str(error)


@pytest.mark.parametrize("header", ["", "[]", "{}", '{"format":1}', "nonsense"])
def test_what_is_no_question_is_refused(header: str) -> None:
    with pytest.raises(ProtocolError, match="cannot be read"):
        Request.from_parts(header, {})


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
    far = agreed.ring.encode(np.array([2 * agreed.bound, 0, 0, 0]), agreed.resolution)
    share = bits.pack(far, agreed.ring.bits)
    agreed.add(None, share, rows=2)
    agreed.add(None, share)
    with pytest.raises(SumError):
        agreed.add(None, share, rows=1)
