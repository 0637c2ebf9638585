"""Requests of every query over a plain catalogue, made as both sides make them: by `make_request`.

``number`` is left to the schedule of the config, and given where a config does not ask the query in that round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.power_iteration import ProjectionDirections
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.queries import adaptive_clip, negatives, validation
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.schedule import make_request

Arrays = Mapping[str, NDArray[Any]]


def catalogue(items: int) -> Features:
    """A catalogue of ``items`` items without content."""
    ids = tuple(str(place) for place in range(items))
    return Features(ids, ids, {}, {})


def request(
    query: str, config: Config, items: int, rows: int, round_number: int, said: Broadcast, number: int | None = None
) -> Request:
    """One round of a query over ``items`` items and at most ``rows`` rows."""
    return make_request(QUERIES[query], config, round_number, said, rows, catalogue(items), number=number)


def popularity(config: Config, items: int, rows: int, *, number: int | None = None) -> Request:
    return request("popularity", config, items, rows, 0, Broadcast(), number)


def cooccurrence(
    config: Config, over: NDArray[np.int64], items: int, rows: int, *, number: int | None = None
) -> Request:
    """Over the items at the places ``over``."""
    normalise = {"normalise": float(config.collaborative.cooccurrence.normalise)}
    return request("cooccurrence", config, items, rows, 0, Broadcast({"items": over}, normalise), number)


def projected(
    query: str, config: Config, round_number: int, asked: ProjectionDirections, rows: int, *, number: int | None = None
) -> Request:
    """A step of power iteration, ``directions`` or ``factors``, over as many items as there are in ``asked``."""
    said = Broadcast(asked.arrays())
    return request(query, config, len(asked.vectors), rows, round_number, said, number)


def training(
    config: Config,
    round_number: int,
    parameters: NDArray[np.float32],
    items: int,
    rows: int,
    clip: float | None = None,
    *,
    weights: NDArray[np.int32] | None = None,
    carried: Arrays | None = None,
    number: int | None = None,
) -> Request:
    """A round of training. ``clip``: where it adapts; ``weights``: where the pool of negatives is drawn by them."""
    arrays: dict[str, NDArray[Any]] = {"parameters": parameters, **(carried or {})}
    if weights is not None:
        arrays[negatives.WEIGHTS] = weights
    told = {} if config.privacy.adaptive_clip is None else {adaptive_clip.CLIP: clip or config.privacy.clip}
    return request("training", config, items, rows, round_number, Broadcast(arrays, told), number)


def validated(
    config: Config,
    round_number: int,
    parameters: NDArray[np.float32],
    items: int,
    rows: int,
    *,
    carried: Arrays | None = None,
    number: int | None = None,
) -> Request:
    """A round of validation, about the parameters after the training round that the settings ask it after."""
    told = {validation.AFTER: config.training.validated[round_number - 1]}
    said = Broadcast({"parameters": parameters, **(carried or {})}, told)
    return request("validation", config, items, rows, round_number, said, number)


def metrics(config: Config, arrays: Arrays, items: int, rows: int, *, number: int | None = None) -> Request:
    """The round after the last of training; ``arrays`` is what devices rank with."""
    return request("metrics", config, items, rows, config.training.rounds + 1, Broadcast(dict(arrays)), number)
