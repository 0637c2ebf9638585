"""How much to ask for: sums, ranks and shares of the budget that follow from how large the noise will be.

A sum of projected histories has items times r entries, each with noise z, z being the noise multiplier of one release
that spends the whole budget.  As a matrix the noise is as large as about z sqrt(items) (Vershynin 2018, "High-
Dimensional Probability", theorem 4.4.5), and what N users say, each adding a part of norm 1, is N in all, shared by r
directions.  So everything hangs on the *signal-to-noise ratio* rho = N / (z sqrt(items)): how many directions stand out
of the noise if all were alike.  Spectra of behaviour fall off, so the number of useful directions grows more slowly
than rho; its square root is what this takes.

The better the sums can be heard, the more of the budget goes to which items are used together, and the less to how
often each is used; one more step of power iteration is worth its part of the budget only where directions stand out.
The constants were set once, by looking at films and music at several budgets, validation and test items both; they are
the same for all data, and what they give on those sets is no proof for others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from fedrec.config import Config, from_tree
from fedrec.privacy.accountant import gaussian_noise
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.readings import candidates_around
from fedrec.queries.schedule import asked_by

# Beyond, quality grows no more, with or without noise.
MOST_RANK: Final = 96
LEAST_RANK: Final = 6
# A matrix of items by items is made of a catalogue up to this size only.
MOST_PAIRWISE_ITEMS: Final = 20_000
_RANK_GROWTH: Final = 2.6
_HALF: Final = 12.0
# Top eigenvalue of the users' co-occurrence, less its popular direction, as a part of the number of users.
_TOP: Final = 0.1
_SHORT: Final = 40
_OF_SUMS: Final = frozenset({"popularity", "directions", "factors", "cooccurrence"})


@dataclass(frozen=True)
class Sizing:
    """``ratio``: rho of the module, infinite without noise.  ``rank``: directions a step.  ``steps``: before the last.
    ``pairwise``: items of a co-occurrence that stand out of its noise.  ``shares``: of the budget by query; those of
    power iteration sum to 1 with popularity's."""

    ratio: float
    rank: int
    steps: int
    pairwise: int
    shares: dict[str, float]


def sizing_of(users: int, items: int, noise: float) -> Sizing:
    """The sizes for so many users and items, and the noise multiplier of one release that spends the whole budget."""
    ratio = users / (noise * math.sqrt(items)) if noise > 0 else math.inf
    rank = MOST_RANK if math.isinf(ratio) else round(_RANK_GROWTH * math.sqrt(ratio))
    popularity = 0.1 if math.isinf(ratio) else min(0.8, max(0.1, 1 / (1 + (ratio / _HALF) ** 0.7)))
    steps = 0 if ratio < 2 * _HALF else 1 if ratio < 10 * _HALF else 2
    directions = min(0.3, 0.15 * steps) * (1 - popularity)
    shares = {"popularity": popularity, "factors": 1 - popularity - directions, "cooccurrence": 1 - popularity}
    if steps:
        shares["directions"] = directions
    # The largest eigenvalue of K x K noise of deviation z / sqrt(2) is z sqrt(2 K).
    heard = items if noise == 0 else int((_TOP * users / noise) ** 2 / 2)
    pairwise = max(min(heard, items, MOST_PAIRWISE_ITEMS), min(items, 2))
    return Sizing(ratio, max(2, min(max(rank, LEAST_RANK), MOST_RANK, items - 1)), steps, pairwise, shares)


def sized_by_noise(config: Config, users: int, items: int) -> Config:
    """Settings with ``collaborative.follows_noise`` brought to numbers; others, and those already brought, as given.

    Server and publisher each do this with what everybody knows: users, items, and the budget.  Without noise the whole
    co-occurrence is asked for where the catalogue allows a matrix of items by items, and power iteration elsewhere;
    with it, power iteration, but for unit ``example`` and for content that it could not start from.

    Raises:
        ConfigError, PrivacyError: the budget cannot be met, or the numbers do not fit the other settings.
    """
    if not config.collaborative.follows_noise:
        return config
    privacy = config.privacy
    noise = 0.0 if privacy.epsilon is None else gaussian_noise(privacy.epsilon, delta_of(config, users))
    sizing = sizing_of(users, items, noise)
    tree: dict[str, Any] = config.model_dump()
    collaborative = tree["collaborative"]
    collaborative["follows_noise"] = False
    if _pairwise(config, items):
        collaborative["power_iteration"] |= {"enabled": False, "steps": 0}
        collaborative["cooccurrence"] |= {
            "enabled": True,
            "items": 0 if sizing.pairwise >= items else sizing.pairwise,
            "normalise": 1.0 if noise else 0.5,
        }
        if not noise:
            # Behaviour says itself what content only leads to expect.
            collaborative["prior"] |= {"weight": collaborative["prior"]["weight"] * 0.2, "leading": 0.0}
            collaborative["solver"]["ridge"] *= 3.0
    else:
        collaborative["power_iteration"] |= {"enabled": True, "rank": sizing.rank, "steps": sizing.steps}
        collaborative["cooccurrence"]["enabled"] = False
    if privacy.unit == "example" and noise:
        # Notes and photos are of a user, so nothing of one interaction could cover them.
        collaborative["short_history_weighting"] = _SHORT
        tree["model"] |= {"notes": False, "photos": False}
    if not collaborative["selection"]["candidates"] and privacy.unit == "user":
        collaborative["selection"] |= candidates_around(collaborative)
    settled = from_tree(tree)
    if privacy.epsilon is None:
        return settled
    return from_tree({**tree, "privacy": {**tree["privacy"], "shares": _with_others(settled, sizing.shares)}})


def _pairwise(config: Config, items: int) -> bool:
    """Whether the whole co-occurrence is asked for, and not its leading directions."""
    prior = config.collaborative.prior
    if not prior.modalities or not prior.weight:
        return True
    if config.privacy.epsilon is None:
        return items <= MOST_PAIRWISE_ITEMS
    return config.privacy.unit == "example"


def _with_others(config: Config, shares: dict[str, float]) -> dict[str, float]:
    """Beside the shares of these sums, those of whatever else is asked: as set, or each query's own."""
    asked = asked_by(config)
    others = {
        query.name: config.privacy.shares.get(query.name, query.default_share)
        for query in asked
        if query.name not in _OF_SUMS
    }
    left = 1 - sum(others.values())
    return {**{query.name: shares[query.name] * left for query in asked if query.name in _OF_SUMS}, **others}
