"""When two populations are neighbours: the one relation that every figure and every page of the project means.

*The data of one unit is replaced by nothing.*  The unit is a user with all that the user did, or one interaction.  How
many users there are on which devices, who is asked when (or with which chances), and who adds noise are public, or part
of the mechanism, and stay as they are.  It is "zero-out" adjacency (Ponomareva et al., "How to DP-fy ML", 2023, section
2.1.1; Kairouz et al., "Practical and private (deep) learning without sampling or shuffling", ICML 2021, definition
1.1), dp-accounting's ``REPLACE_SPECIAL``.

Why not "a unit is added or taken away": N is in plain sight (delta, means and cohorts are made of it); taking a member
out of a draw of fixed size, or out of a deal, moves others; and a level at which sums are clipped must not follow how
many there are (`fedrec.queries.private_sum`).

What it is worth.  A row within the bound moves a sum by the bound, since zero is in the place of its part.  A unit that
is replaced by *another* is two steps: at most twice the distance, as a group of two.  Under Poisson sampling the unit
without data is drawn as before and adds zero, so that the two outcomes are the mixture (1 - q) P + q P' and P, as they
are where it is taken away: amplification is the same (a test compares dp-accounting's figures under both).
"""

from __future__ import annotations

from typing import Final, Literal

_UNITS: Final = {
    "user": "the data of one user, all that the user did,",
    "example": "one interaction of one user",
}
_STAYS: Final = "how many users there are, how they are drawn, and who adds noise stay as they are"


def adjacency(unit: Literal["user", "example"], *, stays: str = "") -> str:
    """The relation in words, to go on after "when". ``stays``: what else does."""
    return f"{_UNITS[unit]} is replaced by nothing; {f'{stays}, ' if stays else ''}{_STAYS}"
