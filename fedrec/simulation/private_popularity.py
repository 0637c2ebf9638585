"""Popularity as a run that asks for nothing else has it, for the whole epsilon: what private models must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.privacy.accountant import gaussian_noise
from fedrec.privacy.mechanism import GaussianMechanism
from fedrec.privacy.run_plan import delta_of, is_local
from fedrec.queries.device.popularity import used_items
from fedrec.queries.popularity import POPULARITY
from fedrec.queries.request import Broadcast
from fedrec.randomness import key
from fedrec.simulation.study import Study


def private_popularity(config: Config, study: Study) -> NDArray[np.float32] | None:
    """Counts of the training items, normalised as in query ``popularity``, with the noise of one Gaussian release at
    the run's epsilon and delta; float32 [items], from 0.  The noise follows from the seed: a measure, no release.

    None where there is no epsilon, or where devices add all noise and no sum is asked for counts.
    """
    if config.privacy.epsilon is None or is_local(config):
        return None
    users = len(study.population)
    agreed = POPULARITY.sum(config, Broadcast(), users, study.features)
    weighting = config.collaborative.short_history_weighting
    counts = used_items(study.population, len(study.features), agreed.bound, weighting)
    multiplier = gaussian_noise(config.privacy.epsilon, delta_of(config, users))
    noise = GaussianMechanism(multiplier, agreed.sensitivity, agreed.resolution)
    drawn = noise.noise(key(config.run.seed, "private popularity"), len(counts))
    return np.maximum(counts + drawn, 0.0).astype(np.float32)
