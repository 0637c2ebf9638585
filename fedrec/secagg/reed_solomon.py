"""Decoding of Shamir shares some of which are false: they are a Reed-Solomon code (McEliece, Sarwate, CACM 1981).

A polynomial of degree below t, evaluated at n points, is still the only one within reach when e values are false and
2 e <= n - t.  Gao's decoder finds it, and so which values are false, in O(n^2) operations of the field (S. Gao: *A new
algorithm for decoding Reed-Solomon codes*, in Communications, Information and Network Security, 2003).  A share that is
left out is an erasure: it costs one share where one that is false and unknown costs two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedrec.secagg.shamir import PRIME, inverses

Polynomial = list[int]  # Coefficients, lowest power first, the last one not zero; [] is zero.


@dataclass(frozen=True)
class Decoded:
    """``coefficients``: of the polynomial, lowest power first.

    ``false``: the points whose values are not on the polynomial, ascending.
    """

    coefficients: tuple[int, ...]
    false: tuple[int, ...]

    @property
    def constant(self) -> int:
        """The shared secret as a number below `PRIME`."""
        return self.value(0)

    def value(self, point: int) -> int:
        """What a true share at this point is."""
        value = 0
        for coefficient in reversed(self.coefficients):
            value = (value * point + coefficient) % PRIME
        return value


def most_errors(count: int, threshold: int) -> int:
    """How many false ones of ``count`` shares can be corrected: floor((count - threshold) / 2), never below 0."""
    return max(0, (count - threshold) // 2)


def decode(values: Mapping[int, int], threshold: int) -> Decoded | None:
    """The polynomial of degree below ``threshold`` that all values but `most_errors` lie on, or `None`.

    There is at most one.  Where more values are false, the answer is mostly `None`, but may be another polynomial:
    check the result.

    Args:
        values: by point; points are distinct and not zero, values 0 to PRIME - 1.
        threshold: 1 or more.
    """
    points = sorted(values)
    if not 1 <= threshold <= len(points):
        return None
    found = _near_polynomial(points, [values[point] for point in points], threshold)
    if found is None:
        return None
    decoded = Decoded(tuple(found), ())
    false = tuple(point for point in points if decoded.value(point) != values[point])
    return replace(decoded, false=false) if len(false) <= most_errors(len(points), threshold) else None


def _near_polynomial(points: Sequence[int], values: Sequence[int], threshold: int) -> Polynomial | None:
    """Gao's algorithm: Euclid's extended one, stopped halfway, ends in f v and v, v zero where values are false."""
    vanishing = _vanishing(points)
    upper, lower = vanishing, _interpolate(vanishing, points, values)
    before: Polynomial = []
    now: Polynomial = [1]
    # Degree of the remainder below (n + t) / 2; a polynomial of d coefficients has degree d - 1.
    while 2 * (len(lower) - 1) >= len(points) + threshold:
        quotient, rest = _divide(upper, lower)
        upper, lower = lower, rest
        before, now = now, _minus_product(before, quotient, now)
    found, rest = _divide(lower, now)
    return found if not rest and len(found) <= threshold else None


def _vanishing(points: Sequence[int]) -> Polynomial:
    """The product of x - point over all points."""
    product = [1]
    for point in points:
        shifted = [0, *product]
        for at, coefficient in enumerate(product):
            shifted[at] -= point * coefficient
        product = [coefficient % PRIME for coefficient in shifted]
    return product


def _interpolate(vanishing: Polynomial, points: Sequence[int], values: Sequence[int]) -> Polynomial:
    """The polynomial of degree below n through n values (Lagrange)."""
    total = [0] * len(points)
    slopes = []
    for point in points:
        slope = 1
        for other in points:
            if other != point:
                slope *= point - other
        slopes.append(slope % PRIME)
    for point, value, inverse in zip(points, values, inverses(slopes), strict=True):
        weight = value * inverse % PRIME
        # The product without this point, by synthetic division, from the highest power down.
        quotient = 0
        for at in range(len(points) - 1, -1, -1):
            quotient = (vanishing[at + 1] + point * quotient) % PRIME
            total[at] += weight * quotient
    return _trimmed([coefficient % PRIME for coefficient in total])


def _divide(dividend: Polynomial, divisor: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Quotient and remainder; the divisor is not zero."""
    rest = list(dividend)
    leading = pow(divisor[-1], -1, PRIME)
    quotient = [0] * max(0, len(dividend) - len(divisor) + 1)
    for at in range(len(quotient) - 1, -1, -1):
        factor = quotient[at] = rest[at + len(divisor) - 1] * leading % PRIME
        for offset, coefficient in enumerate(divisor):
            rest[at + offset] = (rest[at + offset] - factor * coefficient) % PRIME
    return quotient, _trimmed(rest)


def _minus_product(start: Polynomial, one: Polynomial, other: Polynomial) -> Polynomial:
    """``start`` - ``one`` * ``other``."""
    result = start + [0] * max(0, len(one) + len(other) - 1 - len(start))
    for at, factor in enumerate(one):
        for offset, coefficient in enumerate(other):
            result[at + offset] -= factor * coefficient
    return _trimmed([coefficient % PRIME for coefficient in result])


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and not polynomial[-1]:
        polynomial.pop()
    return polynomial
