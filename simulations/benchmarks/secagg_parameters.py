"""Prints the table of parameters in docs/secure-aggregation.md: python -m simulations.benchmarks.secagg_parameters.

For rosters of several sizes, under the default assumptions: neighbours, threshold, fewest survivors in half a
neighbourhood, committee, fewest devices in a sum, and how unlikely it is that any of it fails, in bits.
"""

from __future__ import annotations

import math
from typing import Final

from fedrec.secagg.committee import committee_size
from fedrec.secagg.parameters import Assumptions, choose, guarantee, half_floor
from fedrec.secagg.tails import at_least, log2_tail

SIZES: Final = (100, 300, 1000, 2000, 10_000, 100_000)
HEAD: Final = (
    "| roster | k | t | in each half | committee | quorum | fewest in a sum | `shares` | `uncut` | `one list` "
    "| log2 of the chance of any |"
)


def table(sizes: tuple[int, ...] = SIZES, wanted: Assumptions | None = None) -> list[str]:
    """The table's lines, in Markdown."""
    assumed = wanted or Assumptions()
    lines = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    for size in sizes:
        chosen, committee = choose(size, assumed), committee_size(size, assumed)
        found = guarantee(size, chosen.degree, chosen.threshold, assumed)
        colluding = at_least(assumed.colluding, size)
        one_list = -log2_tail(size, colluding, committee.members, 2 * committee.quorum - committee.members)
        bits = (found.shares, found.uncut, one_list)
        chance = sum(2.0**-each for each in bits)
        together = f"{math.log2(chance):.1f}" if chance else "cannot happen"
        figures = (
            f"{size:,}",
            chosen.degree,
            chosen.threshold,
            half_floor(size, chosen.degree, assumed),
            committee.members,
            committee.quorum,
            f"{assumed.floor(size):,}",
            *("∞" if each == math.inf else f"{each:.1f}" for each in bits),
            together,
        )
        lines.append("| " + " | ".join(map(str, figures)) + " |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
