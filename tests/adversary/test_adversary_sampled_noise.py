"""Colluding devices of the roster that a cohort happens to hold many of: they know their own shares of its noise.

A hundred of two thousand are asked in a round, drawn by public randomness, and a hundred of the two thousand collude
with the server.  In a round in a hundred they are more than a tenth of those asked.
"""

from __future__ import annotations

from dataclasses import replace

import federation_cases as cases
import numpy as np
import pytest
import query_cases

from fedrec.config import Config
from fedrec.privacy.distributed import NoiseShares
from fedrec.queries import request as request_module
from fedrec.queries.cohorts import fixed_cohort
from fedrec.queries.request import Request
from fedrec.secagg.parameters import Assumptions, most_colluding
from fedrec.secagg.tails import log2_tail

ROSTER, ASKED, COLLUDING = 2000, 100, 100
ROUNDS, NOISE = 3000, 2.0
CONFIG = cases.settings(
    model={"notes": False, "photos": False},
    training={"sampling": "fixed", "cohort": ASKED},
    privacy={"noise_place": "distributed"},
    secure_aggregation={"protocol": "secagg+", "resolution_bits": None, "colluding": COLLUDING / ROSTER},
)


def asked(config: Config = CONFIG, roster: int = ROSTER) -> Request:
    plain = query_cases.training(config, 1, np.zeros(17, np.float32), cases.ITEMS, ASKED)
    plain = replace(plain, settings={**plain.settings, "users": roster, "devices": roster})
    return plain.with_noise_of_devices(config, NOISE, ASKED)


def least_noise() -> float:
    """The noise multiplier, without what colluding devices know, of the worst round."""
    request = asked()
    shares = request.sum.shares
    assert shares is not None
    friends = set(range(COLLUDING))  # who they are does not matter: the seed was drawn after the roster
    most = max(len(friends.intersection(fixed_cohort(bytes(32), ROSTER, ASKED, number))) for number in range(ROUNDS))
    step = request.sum.sensitivity / request.sum.resolution
    return shares.multiplier(shares.deviation(step), shares.survivors - most, step)


def test_no_round_has_less_noise_than_devices_are_charged() -> None:
    assert least_noise() >= NOISE


def test_sized_for_a_share_of_those_asked_some_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module, "most_colluding", lambda devices, wanted: 0)
    assert least_noise() < 0.97 * NOISE


def test_where_everybody_is_asked_the_noise_is_shared_as_the_settings_say() -> None:
    settings = CONFIG.secure_aggregation
    shares = asked(roster=ASKED).sum.shares
    assert shares == NoiseShares(NOISE, ASKED, settings.dropout, settings.corrupt)


@pytest.mark.parametrize(("asked_of", "roster"), [(100, 2000), (20, 2000), (1000, 6040), (100, 100), (64, 10_000)])
def test_more_collude_with_the_chance_that_was_asked_for(asked_of: int, roster: int) -> None:
    wanted = Assumptions(roster=roster)
    most, there = most_colluding(asked_of, wanted), -(-roster // 20)
    assert log2_tail(roster, there, asked_of, most + 1) <= -40
    assert most == -(-asked_of // 20) or log2_tail(roster, there, asked_of, most) > -40
