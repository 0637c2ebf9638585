"""Query ``training``: the sum of clipped per-row gradients of the shared parameters, and the step made of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation import clip_rate
from fedrec.aggregation.private_sum import PrivateSum
from fedrec.aggregation.question import Question
from fedrec.config import Config
from fedrec.randomness import key, prf_uint64


def ask(
    config: Config,
    round_number: int,
    parameters: NDArray[np.float32],
    catalogue: int,
    rows: int,
    clip: float | None = None,
) -> Question:
    """The question of one round: parameters and the round's pool of negatives, the same for every device.

    ``clip``: of this round, where it adapts; then it is asked for, and the sum has one element more.

    The pool is drawn from the whole catalogue.  What a user has in training is left out on the device; nothing else
    is, the held-out items of an evaluation least of all (FIELD of recommendation: such a leak gives HR@10 = 1).
    """
    bits = config.secure_aggregation.resolution_bits
    adaptive = config.privacy.adaptive_clip
    clip = config.privacy.clip if clip is None else clip
    length, bound = len(parameters) + (adaptive is not None), clip_rate.joint_bound(clip, adaptive)
    agreed = PrivateSum.of("training", length, bound, rows, resolution_bits=bits)
    return Question(
        "training",
        round_number,
        agreed,
        arrays={
            "parameters": parameters,
            "pool": pool(config.run.seed, round_number, catalogue, config.training.negatives),
        },
        settings={} if adaptive is None else {clip_rate.CLIP: clip},
    )


def pool(seed: int, round_number: int, catalogue: int, size: int) -> NDArray[np.int32]:
    """``size`` different items drawn uniformly (all, if the catalogue is smaller), ascending. Public, not secret."""
    places = np.arange(catalogue, dtype=np.uint64)
    drawn = prf_uint64(key(seed, "pool of negatives", round_number), places, np.zeros_like(places))
    return np.sort(np.argsort(drawn, kind="stable")[:size]).astype(np.int32)


def mean_gradient(opened: NDArray[np.float64], expected_rows: float) -> NDArray[np.float64]:
    """The opened sum over the number of rows *expected* in it; the true number would be a second thing to protect."""
    return opened / expected_rows
