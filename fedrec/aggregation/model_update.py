"""Query ``training``: the sum of clipped per-row gradients of the shared parameters, and the step made of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation import clip_rate
from fedrec.aggregation.cold_items import warm_items
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
    clip = config.privacy.clip if clip is None else clip
    adaptive = config.privacy.adaptive_clip
    return Question(
        "training",
        round_number,
        _sum(config, len(parameters) + (adaptive is not None), bound_of(config, clip), rows),
        arrays={
            "parameters": parameters,
            "pool": pool_of(config, round_number, catalogue),
        },
        settings={} if adaptive is None else {clip_rate.CLIP: clip},
    )


def bound_of(config: Config, clip: float) -> float:
    """The L2 bound of one row's part in a sum at this clip."""
    if config.privacy.noise_place == "local":
        return config.privacy.local.bound
    return clip_rate.joint_bound(clip, config.privacy.adaptive_clip)


def _sum(config: Config, length: int, bound: float, rows: int) -> PrivateSum:
    settings = config.secure_aggregation
    if not settings.rotate:
        return PrivateSum.of("training", length, bound, rows, resolution_bits=settings.resolution_bits)
    return PrivateSum.rotated(
        "training",
        length,
        bound,
        rows,
        # One rotation for the whole run: noise that is correlated over rounds stays so in the model's own coordinates.
        seed=key(config.run.seed, "rotation", "training"),
        expected=_expected_rows(config, rows),
        resolution_bits=settings.resolution_bits,
    )


def _expected_rows(config: Config, rows: int) -> int:
    """Rows that are expected in one sum: of sampled cohorts, those of a cohort with one user a device."""
    if config.training.sampling == "full" or config.training.cohort == 0:
        return rows
    grouped = config.privacy.unit == "example" and config.privacy.noise_place != "local"
    return min(rows, config.training.cohort * (config.training.examples if grouped else 1))


def pool_of(config: Config, round_number: int, catalogue: int) -> NDArray[np.int32]:
    """The `pool` of a round as the settings have it: of the items that a study does not keep out of training."""
    places = warm_items(config, catalogue)
    return places[pool(config.run.seed, round_number, len(places), config.training.negatives)]


def pool(seed: int, round_number: int, catalogue: int, size: int) -> NDArray[np.int32]:
    """``size`` different items drawn uniformly (all, if the catalogue is smaller), ascending. Public, not secret."""
    places = np.arange(catalogue, dtype=np.uint64)
    drawn = prf_uint64(key(seed, "pool of negatives", round_number), places, np.zeros_like(places))
    return np.sort(np.argsort(drawn, kind="stable")[:size]).astype(np.int32)


def mean_gradient(opened: NDArray[np.float64], expected_rows: float) -> NDArray[np.float64]:
    """The opened sum over the number of rows *expected* in it; the true number would be a second thing to protect."""
    return opened / expected_rows
