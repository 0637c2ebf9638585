"""Secret sharing: any threshold of shares opens, fewer say nothing, and what is malformed is refused."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import ProtocolError, SumError
from fedrec.secagg import shamir

SECRETS = st.binary(min_size=31, max_size=31)


def fixed(*numbers: int) -> Callable[[int], bytes]:
    """A source that gives these coefficients."""
    return lambda length: b"".join(number.to_bytes(48, "big") for number in numbers)


@settings(deadline=None, max_examples=50)
@given(secret=SECRETS, data=st.data())
def test_any_threshold_of_shares_opens(secret: bytes, data: st.DataObject) -> None:
    xs = data.draw(st.lists(st.integers(1, 2**16), min_size=1, max_size=20, unique=True))
    threshold = data.draw(st.integers(1, len(xs)))
    shares = dict(zip(xs, shamir.split(secret, threshold, xs, os.urandom), strict=True))
    chosen = data.draw(st.permutations(xs))[: data.draw(st.integers(threshold, len(xs)))]
    assert shamir.combine({x: shares[x] for x in chosen}, threshold) == secret


def test_hand_computed_shares() -> None:
    """f(x) = 5 + 2x + 3x^2; the first coefficient drawn belongs to the highest power."""
    shares = shamir.split((5).to_bytes(31, "big"), 3, [1, 2, 65536], fixed(3, 2))
    assert [int.from_bytes(share, "big") for share in shares] == [10, 21, 5 + 2 * 65536 + 3 * 65536**2]
    assert all(len(share) == 32 for share in shares)


def test_a_share_wraps_at_the_prime() -> None:
    wrapped = shamir.split((1).to_bytes(31, "big"), 2, [3, 4], fixed(shamir.PRIME - 1))
    assert [int.from_bytes(share, "big") for share in wrapped] == [shamir.PRIME - 2, shamir.PRIME - 3]
    assert shamir.combine({3: wrapped[0], 4: wrapped[1]}, 2) == (1).to_bytes(31, "big")


def test_fewer_shares_fit_every_secret() -> None:
    """Two of three shares: for any other secret there is a third share that opens to it, so two say nothing."""
    xs = [7, 9, 11]
    shares = shamir.split(b"\x01" * 31, 3, xs, os.urandom)
    for other in (bytes(31), b"\xff" * 31):
        # The weights at zero: the third share that makes the sum come out at the other secret.
        weights = [math.prod(b * pow(b - a, -1, shamir.PRIME) for b in xs if b != a) % shamir.PRIME for a in xs]
        known = sum(
            weight * int.from_bytes(share, "big") for weight, share in zip(weights[:2], shares[:2], strict=True)
        )
        third = (int.from_bytes(other, "big") - known) * pow(weights[2], -1, shamir.PRIME) % shamir.PRIME
        forged = {7: shares[0], 9: shares[1], 11: third.to_bytes(32, "big")}
        assert shamir.combine(forged, 3) == other


def test_a_single_share_is_spread_over_the_field() -> None:
    """The same secret again and again: the top bits of one holder's share take every value about as often."""
    counts = [0] * 8
    for at in range(400):
        source = hashlib.shake_256(at.to_bytes(4, "big"))
        share = shamir.split(b"\x07" * 31, 2, [1, 2], source.digest)[0]
        counts[share[0] >> 4] += 1
    assert sum((count - 50) ** 2 / 50 for count in counts) < 40  # chi-square, 7 degrees: 40 has probability 1e-6


def test_many_secrets_at_once_equal_one_by_one() -> None:
    secrets = [os.urandom(31) for _ in range(6)]
    groups = [list(range(1, 9)), list(range(1, 9)), [9, 4, 70, 65536], list(range(5, 13)), [4, 9, 70, 65536], [1, 2, 3]]
    held = [
        dict(zip(xs, shamir.split(secret, 3, xs, os.urandom), strict=True))
        for secret, xs in zip(secrets, groups, strict=True)
    ]
    assert shamir.combine_many(held, 3) == secrets == [shamir.combine(one, 3) for one in held]
    assert shamir.combine_many([], 3) == []


@pytest.mark.parametrize("open_", [shamir.combine, lambda shares, t: shamir.combine_many([shares], t)])
def test_bad_shares_are_refused(open_: Callable[..., object]) -> None:
    xs = [1, 2, 3, 4]
    good = dict(zip(xs, shamir.split(b"\x01" * 31, 3, xs, os.urandom), strict=True))
    with pytest.raises(ProtocolError, match="too few"):
        open_({1: good[1], 2: good[2]}, 3)
    with pytest.raises(ProtocolError, match="too few"):
        open_({}, 0)
    for bad in (good[1][:31], good[1] + b"\0", b"", shamir.PRIME.to_bytes(32, "big"), b"\xff" * 32):
        with pytest.raises(ProtocolError, match="malformed"):
            open_({**good, 1: bad}, 3)
    for x in (0, -1, 2**16 + 1):
        with pytest.raises(ProtocolError, match="points"):
            open_({x: good[1], 2: good[2], 3: good[3]}, 3)


def test_a_result_beyond_31_bytes_is_an_error() -> None:
    """A lying holder moves the secret anywhere in the field; what does not fit 31 bytes is caught at once."""
    with pytest.raises(ProtocolError, match="do not fit together"):
        shamir.combine({5: (2**248).to_bytes(32, "big")}, 1)
    assert shamir.combine({5: (2**248 - 1).to_bytes(32, "big")}, 1) == b"\xff" * 31


def test_surplus_shares_are_not_looked_at_but_a_wrong_one_among_the_first_changes_the_secret() -> None:
    secret, xs = b"\x02" * 31, [1, 2, 3]
    shares = dict(zip(xs, shamir.split(secret, 2, xs, fixed(12345)), strict=True))
    assert shamir.combine({**shares, 3: bytes(32)}, 2) == secret
    lying = {1: (int.from_bytes(shares[1], "big") + 1).to_bytes(32, "big"), 2: shares[2]}
    # Share 1 has weight 2 / (2 - 1) = 2 at zero: the secret moves by 2.
    assert int.from_bytes(shamir.combine(lying, 2), "big") == int.from_bytes(secret, "big") + 2


@pytest.mark.parametrize(
    ("secret", "threshold", "xs"),
    [
        (bytes(30), 1, [1]),
        (bytes(32), 1, [1]),
        (bytes(31), 0, [1]),
        (bytes(31), 2, [1]),
        (bytes(31), 1, []),
        (bytes(31), 1, [0]),
        (bytes(31), 1, [2**16 + 1]),
        (bytes(31), 1, [4, 4]),
    ],
)
def test_absurd_splits_are_refused(secret: bytes, threshold: int, xs: list[int]) -> None:
    with pytest.raises(SumError):
        shamir.split(secret, threshold, xs, os.urandom)


def test_a_short_source_of_randomness_is_noticed() -> None:
    with pytest.raises(SumError, match="too little"):
        shamir.split(bytes(31), 2, [1, 2], lambda length: bytes(length - 1))
