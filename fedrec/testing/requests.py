"""A request with one part changed, each in turn: what a device must refuse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.queries.request import Request


def changed_requests(request: Request) -> Iterator[tuple[Request, str]]:
    """The request with one part changed, each in turn, and what was changed."""
    yield dataclasses.replace(request, round=request.round + 1000), "another round"
    yield dataclasses.replace(request, number=request.number + 1), "another number"
    for name, value in dataclasses.asdict(request.sum).items():
        for other in _other_values(name, value):
            if other == value:
                continue
            try:
                agreed = dataclasses.replace(request.sum, **{name: other})
            except Exception:  # a sum that cannot be is refused before it is compared
                continue
            yield dataclasses.replace(request, sum=agreed), f"sum.{name} {other!r}"
    for name, told in request.settings.items():
        if name in ("users", "devices"):
            continue  # counts are the server's to say
        rest = {key: value for key, value in request.settings.items() if key != name}
        yield dataclasses.replace(request, settings=rest), f"no setting {name}"
        changed = told + 1 if isinstance(told, int | float) else f"{told}x"
        yield dataclasses.replace(request, settings={**request.settings, name: changed * 1000}), f"setting {name}"
    yield dataclasses.replace(request, settings={**request.settings, "more": 1}), "a setting too many"
    more = {**request.arrays, "more": np.zeros(1, np.float32)}
    yield dataclasses.replace(request, arrays=more), "an array too many"
    for name, array in request.arrays.items():
        rest_of = {key: value for key, value in request.arrays.items() if key != name}
        yield dataclasses.replace(request, arrays=rest_of), f"no array {name}"
        for other, how in ((array.astype(_other_type(array)), "another type"), (array[None], "another shape")):
            yield dataclasses.replace(request, arrays={**rest_of, name: other}), f"array {name} of {how}"


def _other_values(name: str, value: Any) -> list[Any]:
    match value:
        case str():
            return ["another"] if name == "name" else ["", "ab" * 32 if value != "ab" * 32 else "cd" * 32]
        case int():
            return [] if name == "rows" else [value + 1]
        case float():
            return [value * 2, value / 2] if value else [1e-3]
    return []


def _other_type(array: NDArray[Any]) -> Any:
    return np.int64 if array.dtype.kind == "f" else np.float32
