"""How much to ask for: sums, ranks and shares of the budget that follow from how large the noise will be.

A sum of projected histories has items times r entries, each with noise z, z being the noise multiplier of one release
that spends the whole budget.  As a matrix the noise is as large as about z sqrt(items) (Vershynin 2018, "High-
Dimensional Probability", theorem 4.4.5), and what N users say, each adding a part of norm 1, is N in all, shared by r
directions.  So everything hangs on the *signal-to-noise ratio* rho = N / (z sqrt(items)): how many directions stand out
of the noise if all were alike.  Spectra of behaviour fall off, so the number of useful directions grows more slowly
than rho; its square root is what this takes.

How many directions of taste a user can be placed among hangs on how many users told of them, as N points tell about
sqrt(N) directions apart; the more there are, the less each has to be held back.

The better the sums can be heard, the more of the budget goes to which items are used together, and the less to how
often each is used; one more step of power iteration is worth its part of the budget only where directions stand out.
The constants were set once, by looking at films and music at several budgets, validation and test items both; they are
the same for all data, and what they give on those sets is no proof for others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from fedrec.config import Config, from_tree
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import gaussian_noise
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.readings import candidates_around
from fedrec.queries.schedule import asked_by

# Beyond, quality grows no more, with or without noise.
MOST_RANK: Final = 96
LEAST_RANK: Final = 6
# A matrix of items by items is asked for of a catalogue up to this size only: 200 MB in float64, of which a solution
# takes several at once.  What is written may go further (`fedrec.collaborative.tall`).
MOST_PAIRWISE_ITEMS: Final = 5_000
_RANK_GROWTH: Final = 2.6
# Of the factors among which a device places its user, by the root of the number of users.
LEAST_PLACED, MOST_PLACED = 96, 256
_PLACED_GROWTH: Final = 2.5
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


def sizing_of(users: int, items: int, noise: float, *, steps: int | None = None) -> Sizing:
    """The sizes for so many users and items, and the noise multiplier of one release that spends the whole budget.

    ``steps``: as written, where they are; else they follow, too.
    """
    ratio = users / (noise * math.sqrt(items)) if noise > 0 else math.inf
    rank = MOST_RANK if math.isinf(ratio) else round(_RANK_GROWTH * math.sqrt(ratio))
    popularity = 0.1 if math.isinf(ratio) else min(0.8, max(0.1, 1 / (1 + (ratio / _HALF) ** 0.7)))
    if steps is None:
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
    with it, power iteration, but for unit ``example`` and for content that it could not start from.  What is named in
    ``collaborative.as_written`` and what has a share in ``privacy.shares`` stays; the rest follows.

    Raises:
        ConfigError, PrivacyError: the budget cannot be met, or the numbers do not fit the other settings.
    """
    if not config.collaborative.follows_noise:
        return config
    privacy = config.privacy
    noise = 0.0 if privacy.epsilon is None else gaussian_noise(privacy.epsilon, delta_of(config, users))
    kept, tree = frozenset(config.collaborative.as_written), config.model_dump()
    collaborative = tree["collaborative"]
    steps = collaborative["power_iteration"]["steps"] if "collaborative.power_iteration.steps" in kept else None
    sizing = sizing_of(users, items, noise, steps=steps)
    collaborative["follows_noise"] = False
    _put(tree, _sizes(config, sizing, users, items, noise), kept)
    if not collaborative["power_iteration"]["enabled"]:
        collaborative["power_iteration"]["steps"] = 0
    if not collaborative["selection"]["candidates"] and privacy.unit == "user":
        collaborative["selection"] |= candidates_around(collaborative)
    settled = from_tree(tree)
    if privacy.epsilon is None:
        return settled
    return from_tree({**tree, "privacy": {**tree["privacy"], "shares": _with_others(settled, sizing.shares)}})


def placed_among(users: int) -> int:
    """How many factors an item has for the fold-in of a user, see `fedrec.ranking.fold_in`."""
    return min(MOST_PLACED, max(LEAST_PLACED, round(_PLACED_GROWTH * math.sqrt(users))))


def _sizes(config: Config, sizing: Sizing, users: int, items: int, noise: float) -> dict[str, Any]:
    """What follows, by key with dots, whatever was written."""
    found: dict[str, Any] = {}
    pairwise = _pairwise(config, items)
    found["collaborative.power_iteration.enabled"] = not pairwise
    found["collaborative.cooccurrence.enabled"] = pairwise
    if pairwise:
        found["collaborative.cooccurrence.items"] = 0 if sizing.pairwise >= items else sizing.pairwise
        found["collaborative.cooccurrence.normalise"] = 1.0 if noise else 0.5
    else:
        found["collaborative.power_iteration.rank"] = sizing.rank
        found["collaborative.power_iteration.steps"] = sizing.steps
    if pairwise and not noise:
        # Behaviour says itself what content only leads to expect.
        found["collaborative.prior.weight"] = config.collaborative.prior.weight * 0.2
        found["collaborative.prior.leading"] = 0.0
        found["collaborative.solver.ridge"] = config.collaborative.solver.ridge * 3.0
    if fold_in := config.collaborative.fold_in:
        placed = placed_among(users)
        found["collaborative.fold_in.rank"] = placed
        found["collaborative.fold_in.ridge"] = round(fold_in.ridge * LEAST_PLACED / placed, 6)
    if config.privacy.unit == "example" and noise:
        # Notes and photos are of a user, so nothing of one interaction could cover them.
        found |= {"collaborative.short_history_weighting": _SHORT, "model.notes": False, "model.photos": False}
    return found


def _put(tree: dict[str, Any], sizes: Mapping[str, Any], kept: Collection[str]) -> None:
    """Each size into its place of a settings tree, but those that are ``kept`` as they stand there."""
    for key, value in sizes.items():
        if key not in kept:
            *sections, leaf = key.split(".")
            reduce(lambda section, name: section[name], sections, tree)[leaf] = value


def _pairwise(config: Config, items: int) -> bool:
    """Whether the whole co-occurrence is asked for, and not its leading directions."""
    collaborative, prior = config.collaborative, config.collaborative.prior
    if not prior.modalities or not prior.weight:
        return True
    # Enabling either is disabling the other.
    if "collaborative.power_iteration.enabled" in collaborative.as_written:
        return not collaborative.power_iteration.enabled
    if "collaborative.cooccurrence.enabled" in collaborative.as_written:
        return collaborative.cooccurrence.enabled
    if config.privacy.epsilon is None:
        return items <= MOST_PAIRWISE_ITEMS
    return config.privacy.unit == "example"


def _with_others(config: Config, shares: Mapping[str, float]) -> dict[str, float]:
    """The share of each query that is asked: as written; of another than these sums its own; the rest as ``shares``.

    Raises:
        ConfigError: what is written leaves nothing for a sum that is asked.
    """
    written, asked = config.privacy.shares, asked_by(config)
    others = {
        query.name: written.get(query.name, query.default_share)
        for query in asked
        if query.name in written or query.name not in _OF_SUMS
    }
    open_ = {query.name: shares[query.name] for query in asked if query.name not in others}
    left = 1 - sum(others.values())
    if open_ and left <= 0:
        raise ConfigError(
            "privacy.shares leaves nothing of the budget for other sums that are asked",
            value=sorted(open_),
            action="Give them a share too, or write less for the others: all of them together make 1",
        )
    total = sum(open_.values())
    return {**{name: share / total * left for name, share in open_.items()}, **others}
