"""A device's turn where it adds all noise itself: how much, and from which key."""

from __future__ import annotations

from fedrec.config import Config
from fedrec.privacy.accountant import QueryCost
from fedrec.randomness import fresh_key, key
from fedrec.training.local_noise import LocalNoise
from fedrec.training.population import Population


def local_noise_of(config: Config, round_number: int, cost: QueryCost | None, population: Population) -> LocalNoise:
    """The noise of one turn. ``costs``: what it was charged as; None for a run without noise, which takes all."""
    secret = fresh_key()
    if config.run.reproducible:
        whose = (str(user) for user in population.keys)
        secret = key(config.run.seed, "own noise", round_number, *whose)
    if cost is None:
        return LocalNoise(0.0, 1.0, secret)
    return LocalNoise(cost.noise_multiplier, cost.probability, secret)
