"""Broadcasts that a malicious server makes so that a device fails on what it holds, and devices to send them to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.queries.request import Request
from fedrec.ranking.item_vectors import ItemVectors
from fedrec.simulation.study import Study
from fedrec.testing import federation

FLOAT32: Final = float(np.finfo(np.float32).max)
DENORMAL: Final = np.float32(1e-42)
TOWER: Final[Mapping[str, Any]] = {"model": {"tower": True}}
# Per noise place: the unit that it protects, and what it asks for beside.
PLACES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "server": ("user", {}),
    "distributed": ("user", {}),
    "local": ("example", {"shares": {"training": 1.0}}),
}
STOPPING: Final = {"training": {"stopping": {"every": 1, "patience": 9}}}
DIRECTIONS: Final = {
    "collaborative": {
        "popularity": True,
        "power_iteration": {"enabled": True, "steps": 2, "rank": 4, "item_weighting": 0.3},
        "prior": {"weight": 0.5, "modalities": {"text": 0.5, "attributes": 0.5}},
    }
}
BEHAVIOUR: Final = {
    "evaluation": {"private_metrics": True},
    "collaborative": {
        "popularity": True,
        "cooccurrence": {"enabled": True},
        "fold_in": {"weight": 0.5},
        "scoring": {"weight": 0.5},
    },
}
SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "training": {},
    "validation": STOPPING,
    "metrics": BEHAVIOUR,
    "directions": DIRECTIONS,
}


def config_of(query: str, place: str = "server") -> Config:
    """Settings that ask the query, with noise from that place."""
    unit, more = PLACES[place]
    tree = federation.merged({**TOWER, "privacy": {"noise_place": place, **more}}, SETTINGS[query])
    return federation.settings(tree, unit)


def overflowing(config: Config, study: Study, request: Request) -> tuple[NDArray[np.float32], int]:
    """Finite parameters whose model leads beyond float32 for one item of the catalogue, and for no other.

    The item is one that no negative is, so that who does not have it never meets it.  Its place comes with them.
    """
    model = build_model(config, study.features)
    avoided = set(request.arrays.get("pool", np.zeros(0, np.int64)).tolist())
    for name, features in study.features.values.items():
        for item in range(len(features)):
            direction = features[item] / np.abs(features[item]).max()
            reach = np.abs(features @ direction)
            second = float(np.partition(reach, -2)[-2])
            largest = FLOAT32 / np.sqrt(float(reach[item]) * second)
            if item in avoided or reach[item] <= 1.05 * second or largest > FLOAT32:
                continue
            values = parameters.flatten(build_model(config, study.features)) * 0
            parts = parameters.named_parts(model, values)
            parts[f"encoders.{name}.linear.weight"][:] = largest * direction
            parameters.unflatten(model, values)
            lost = ~np.isfinite(ItemVectors(model, study.features).vectors().numpy()).all(axis=1)
            if np.flatnonzero(lost).tolist() == [item]:
                return values, item
    raise AssertionError("no item of this catalogue can be made to overflow alone")


def aimed(config: Config, study: Study, request: Request) -> tuple[Request, int]:
    """The request made so that it leads beyond all numbers for whoever has one item, and the item."""
    if "history" not in request.arrays:
        values, item = overflowing(config, study, request)
        return changed(request, "parameters", values), item
    item = 7
    history = request.arrays["history"].copy()
    history[item] = FLOAT32
    return changed(changed(request, "history", history), "candidate", np.full_like(history, 10.0)), item


def hostile(config: Config, study: Study, request: Request) -> Iterator[tuple[str, Request]]:
    """The request with what it carries made extreme, array by array; each keeps its type and shape."""
    if "parameters" in request.arrays:
        values, _ = overflowing(config, study, request)
        yield "weights that overflow for one item", changed(request, "parameters", values)
        yield "arrays that overflow for one item", aimed(config, study, request)[0]
    for name, values in request.arrays.items():
        if values.dtype.kind != "f" or not values.size:
            continue
        for how, number in (
            ("NaN", np.nan),
            ("infinity", np.inf),
            ("the largest", FLOAT32),
            ("minus the largest", -FLOAT32),
        ):
            extreme = values.copy()
            extreme.reshape(-1)[values.size // 2] = number
            yield f"{how} in {name}", changed(request, name, extreme)
        for how, extreme in (
            ("enormous", values * np.float32(1e30)),
            ("within the limits, barely", _stretched(values)),
            ("denormal", np.full_like(values, DENORMAL)),
            ("zero", np.zeros_like(values)),
            ("all the largest", np.full_like(values, FLOAT32)),
        ):
            yield f"{name} {how}", changed(request, name, extreme)


def _stretched(values: NDArray[np.float32]) -> NDArray[np.float32]:
    most = float(np.abs(values).max())
    return values * np.float32(0.99e4 / most) if most else values


def changed(request: Request, name: str, values: NDArray[Any]) -> Request:
    """The request with another array of that name, in the type that was agreed."""
    return replace(request, arrays={**request.arrays, name: values.astype(request.arrays[name].dtype)})
