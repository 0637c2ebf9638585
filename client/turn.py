"""A device's turn where it adds all noise itself: how much, and from which key."""

from __future__ import annotations

from fedrec.config import Config
from fedrec.privacy.accountant import Spend
from fedrec.randomness import fresh_key, key
from fedrec.training.own_noise import OwnNoise
from fedrec.training.population import Population


def turn_of(config: Config, round_number: int, spend: Spend | None, population: Population) -> OwnNoise:
    """The noise of one turn. ``spend``: what it was charged as; None for a run without noise, which takes all."""
    secret = fresh_key()
    if config.run.reproducible:
        whose = (str(user) for user in population.keys)
        secret = key(config.run.seed, "own noise", round_number, *whose)
    if spend is None:
        return OwnNoise(0.0, 1.0, secret)
    return OwnNoise(spend.noise_multiplier, spend.probability, secret)
