"""Shamir's secret sharing over the integers modulo 2^255 - 19 (Shamir, CACM 1979; used as in Bell et al., CCS 2020).

A secret of 31 bytes becomes one 32-byte share a neighbour; any ``threshold`` of them give it back, and fewer say
nothing at all about it.  Shares carry no proof: who combines them must check the result against something that the
secret's owner published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fedrec.errors import ProtocolError, SumError

PRIME = 2**255 - 19
SECRET_BYTES = 31
SHARE_BYTES = 32
LARGEST_X = 2**16
# 48 bytes reduced modulo a 255-bit prime are uniform up to a distance of 2^-129.
_COEFFICIENT_BYTES = 48

Points = tuple[int, ...]
# By the points of shares, what each is multiplied with.
Weights = dict[Points, list[int]]


def split(secret: bytes, threshold: int, xs: Sequence[int], randomness: Callable[[int], bytes]) -> list[bytes]:
    """The shares of a secret, one for each of ``xs`` and in their order.

    Args:
        secret: 31 bytes.
        threshold: 1 to len(xs); so many shares are needed to learn the secret.
        xs: where the polynomial is evaluated, distinct, each 1 to 2^16: one number for each holder.
        randomness: gives that many bytes, secret and never the same (os.urandom in a deployment).

    Returns:
        Shares of 32 bytes, big-endian numbers below `PRIME`.

    Raises:
        SumError: an argument is out of range.
    """
    if len(secret) != SECRET_BYTES:
        raise SumError(f"a shared secret has {SECRET_BYTES} bytes", value=f"{len(secret)} bytes")
    _check_points(xs)
    if not 1 <= threshold <= len(xs):
        raise SumError("a threshold is from 1 to the number of shares", value=(threshold, len(xs)))
    drawn = randomness(_COEFFICIENT_BYTES * (threshold - 1))
    if len(drawn) != _COEFFICIENT_BYTES * (threshold - 1):
        raise SumError("a source of randomness gave too little", value=f"{len(drawn)} bytes")
    coefficients = [
        int.from_bytes(drawn[at : at + _COEFFICIENT_BYTES], "big") % PRIME
        for at in range(0, len(drawn), _COEFFICIENT_BYTES)
    ]
    constant = int.from_bytes(secret, "big")
    return [_evaluate(coefficients, constant, x).to_bytes(SHARE_BYTES, "big") for x in xs]


def combine(shares: Mapping[int, bytes], threshold: int, weights: Weights | None = None) -> bytes:
    """The 31-byte secret that ``threshold`` shares lie on: those of the smallest x; surplus shares are not looked at.

    Wrong shares give a wrong secret, or an error where that does not fit 31 bytes: check the result.

    Args:
        shares: by point.
        threshold: how many to combine.
        weights: what was worked out for other secrets of the same holders; filled as it is used.

    Raises:
        ProtocolError: fewer than ``threshold`` shares, a malformed one, or a result beyond 31 bytes.
    """
    if threshold < 1 or len(shares) < threshold:
        raise ProtocolError("too few shares to open a secret", value=f"{len(shares)} of {threshold}")
    points = tuple(sorted(shares)[:threshold])
    found = _known(points, {} if weights is None else weights)
    return secret_of(sum(weight * number_of(shares[x]) for weight, x in zip(found, points, strict=True)) % PRIME)


def combine_many(secrets: Iterable[Mapping[int, bytes]], threshold: int) -> list[bytes]:
    """`combine` of each; the weights of holders that several secrets have in common are computed once.

    Raises:
        ProtocolError: as `combine`, for the first secret that cannot be opened.
    """
    weights: Weights = {}
    return [combine(shares, threshold, weights) for shares in secrets]


def number_of(share: bytes) -> int:
    """The number below `PRIME` that a share is. Raises ProtocolError for other bytes."""
    value = int.from_bytes(share, "big")
    if len(share) != SHARE_BYTES or value >= PRIME:
        raise ProtocolError("a share of a secret is malformed")
    return value


def secret_of(number: int) -> bytes:
    """The 31-byte secret that a polynomial's constant is. Raises ProtocolError for a number beyond 31 bytes."""
    try:
        return number.to_bytes(SECRET_BYTES, "big")
    except OverflowError:
        raise ProtocolError("shares do not fit together", action="One of their holders lies or is broken") from None


def _evaluate(coefficients: Sequence[int], constant: int, x: int) -> int:
    # x is small, so that numbers grow slowly: reducing once at the end beats reducing at every step.
    value = 0
    for coefficient in coefficients:
        value = (value + coefficient) * x
    return (value + constant) % PRIME


def _known(points: Points, weights: Weights) -> list[int]:
    if points not in weights:
        weights[points] = _weights(points)
    return weights[points]


def _weights(points: Points) -> list[int]:
    """Lagrange's basis polynomials at zero: product over j != i of x_j / (x_j - x_i), for each i."""
    _check_points(points, ProtocolError)
    divisors = []
    whole = 1
    for x in points:
        divisor = x
        for other in points:
            if other != x:
                divisor *= other - x
        divisors.append(divisor % PRIME)
        whole = whole * x % PRIME
    return [whole * inverse % PRIME for inverse in inverses(divisors)]


def inverses(numbers: Sequence[int]) -> list[int]:
    """The inverses modulo `PRIME` of all numbers, none of them zero, for the price of one (Montgomery's trick)."""
    products = [1]
    for number in numbers:
        products.append(products[-1] * number % PRIME)
    running = pow(products[-1], -1, PRIME)
    found = [0] * len(numbers)
    for at in range(len(numbers) - 1, -1, -1):
        found[at] = products[at] * running % PRIME
        running = running * numbers[at] % PRIME
    return found


def _check_points(xs: Sequence[int], error: type[SumError] | type[ProtocolError] = SumError) -> None:
    if len(set(xs)) != len(xs) or not all(1 <= x <= LARGEST_X for x in xs):
        raise error(f"shares are held at distinct points from 1 to {LARGEST_X}", value=list(xs)[:8])
