"""The devices that vouch for the list of survivors: so many that no two lists find enough signatures.

Who is on the committee follows from public randomness, so that a server can choose neither them nor, since each honest
one signs one list only, two lists for two groups of devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from fedrec.errors import ConfigError
from fedrec.randomness import prf_uint64
from fedrec.secagg.parameters import Assumptions
from fedrec.secagg.tails import at_least, at_most, log2_tail

LARGEST: Final = 1024


@dataclass(frozen=True)
class CommitteeSize:
    """``members`` of which at least ``quorum`` sign a list before any device helps to open its sum."""

    members: int
    quorum: int


@lru_cache(maxsize=256)
def committee_size(size: int, wanted: Assumptions) -> CommitteeSize:
    """The smallest committee of ``size`` devices that are asked, with its quorum.

    Two lists with a quorum each share 2 quorum - members signers at least, who all collude: that many are on the
    committee with a chance of 2^-security at most.  So many of it are there that a quorum signs, but with a chance of
    2^-correctness, if no more dropped out than assumed.

    Raises:
        ConfigError: there is none.
    """
    population = wanted.population(size)
    gone, colluding = at_most(wanted.dropout, size), at_least(wanted.colluding, population)
    missing = 0
    for members in range(1, min(size, LARGEST) + 1):
        while missing < members and -log2_tail(size, gone, members, missing + 1) < wanted.correctness:
            missing += 1
        quorum = members - missing
        if 2 * quorum > members and -log2_tail(population, colluding, members, 2 * quorum - members) >= wanted.security:
            return CommitteeSize(members, quorum)
    raise ConfigError(
        "no committee of these devices is safe",
        value=size,
        action="Ask more devices, or assume fewer that drop out or collude",
    )


def draw_committee(key: bytes, size: int, members: int) -> frozenset[int]:
    """Which of ``size`` devices are on it. ``key``: 32 public bytes that nobody chose."""
    places = np.arange(size, dtype=np.uint64)
    drawn = prf_uint64(key, places, np.ones(size, dtype=np.uint64))
    return frozenset(np.argsort(drawn, kind="stable")[:members].tolist())
