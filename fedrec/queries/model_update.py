"""Query ``training``: the sum of clipped per-row gradients of the shared parameters, and the step made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.errors import ProtocolError
from fedrec.queries import adaptive_clip as clip_rate
from fedrec.queries import negatives
from fedrec.queries.cold_items import warm_items
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.randomness import key


def ask(
    config: Config,
    round_number: int,
    parameters: NDArray[np.float32],
    catalogue: int,
    rows: int,
    clip: float | None = None,
    *,
    weights: NDArray[np.int32] | None = None,
    carried: Mapping[str, NDArray[Any]] | None = None,
) -> Request:
    """The request of one round: parameters and the round's pool of negatives, the same for every device.

    ``clip``: of this round, where it adapts; then it is asked for, and the sum has one element more.
    ``weights``: of all items, where the pool is drawn by popularity (`negatives.weights_of`).
    ``carried``: what the model is beside its parameters: parts that are not trained, and tables that extend the items'
    features (`item_tables`).

    The pool is drawn from the whole catalogue.  What a user has in training is left out on the device; nothing else
    is, the held-out items of an evaluation least of all (FIELD of recommendation: such a leak gives HR@10 = 1).
    """
    clip = config.privacy.clip if clip is None else clip
    adaptive = config.privacy.adaptive_clip
    return Request(
        "training",
        round_number,
        _sum(config, len(parameters) + (adaptive is not None), bound_of(config, clip), rows),
        arrays={
            "parameters": parameters,
            **_pool(config, round_number, catalogue, weights),
            **(carried or {}),
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


def _pool(
    config: Config, round_number: int, catalogue: int, weights: NDArray[np.int32] | None
) -> dict[str, NDArray[np.int32]]:
    """The pool, and what it was drawn by. Raises ProtocolError where weights are missing or bad."""
    settings, seed = config.training, config.run.seed
    if settings.pool == "uniform":
        return {"pool": pool_of(config, round_number, catalogue)}
    if weights is None:
        raise ProtocolError("a pool by popularity needs the weights of all items", value=round_number)
    negatives.check_weights(weights, catalogue)
    places = warm_items(config, catalogue)
    drawn = negatives.weighted(seed, round_number, weights[places], settings.negatives)
    return {"pool": places[drawn], negatives.WEIGHTS: weights}


def pool_of(config: Config, round_number: int, catalogue: int) -> NDArray[np.int32]:
    """A uniform pool of the items that a study does not keep out of training, as places of the catalogue."""
    places = warm_items(config, catalogue)
    return places[negatives.uniform(config.run.seed, round_number, len(places), config.training.negatives)]


def log_inclusion(config: Config, request: Request, catalogue: int) -> NDArray[np.float32] | None:
    """Of each item of a request's pool, the logarithm of its chance to be in it; None without a correction."""
    settings = config.training
    if not settings.correction:
        return None
    places = warm_items(config, catalogue)
    weights = request.arrays.get(negatives.WEIGHTS, np.ones(catalogue, np.int32))[places]
    found = negatives.inclusion(weights, settings.negatives)
    chances: NDArray[np.float64] = found[np.searchsorted(places, request.arrays["pool"])]
    return np.log(chances).astype(np.float32)


def mean_gradient(opened: NDArray[np.float64], expected_rows: float) -> NDArray[np.float64]:
    """The opened sum over the number of rows *expected* in it; the true number would be a second thing to protect."""
    return opened / expected_rows
