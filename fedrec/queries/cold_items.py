"""Items that a study keeps out of training, to see what is left to say about an item that nobody has used yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.randomness import key, prf_uint64


def cold_items(config: Config, catalogue: int) -> NDArray[np.int32]:
    """The places of the share ``evaluation.cold`` of a catalogue, ascending: decided by the run's seed alone.

    With ``evaluation.split = "valid"`` they are drawn apart, so that tuning does not look at what is reported.
    """
    places = np.arange(catalogue, dtype=np.uint64)
    drawn = prf_uint64(key(config.run.seed, "cold items", config.evaluation.split), places, np.zeros_like(places))
    count = int(config.evaluation.cold * catalogue)
    return np.sort(np.argsort(drawn, kind="stable")[:count]).astype(np.int32)


def warm_items(config: Config, catalogue: int) -> NDArray[np.int32]:
    """All other places, ascending: those that training may meet."""
    places = np.arange(catalogue, dtype=np.int32)
    return np.delete(places, cold_items(config, catalogue)) if config.evaluation.cold else places
