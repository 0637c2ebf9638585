"""The paid sums as devices get them with a request, to read them in more than one way: arrays, and their form.

Popularity alone: 4 bytes an item.  Co-occurrence: its upper triangle in float32, as long as what each user added to
it.  Power iteration: 8 bytes an item, and 2 for each column that was found and for each of the content kernel's
leading columns; a device derives the rest.  Half floats: what they round is far below the noise.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.power_iteration import centre_of
from fedrec.collaborative.reading import PaidCooccurrence, PaidFactors, PaidSums
from fedrec.collaborative.tall import TallTable, directions_of, gram, times
from fedrec.config import Config
from fedrec.errors import ProtocolError
from fedrec.queries.cooccurrence import unfold
from fedrec.queries.power_iteration import MOST_DIRECTIONS
from fedrec.queries.query import vector_of
from fedrec.queries.request import NamedArrays, Request

POPULARITY: Final = "popularity"
MASS: Final = "mass"
FOUND: Final = "found"
CONTENT: Final = "content"
MATRIX: Final = "matrix"
ITEMS: Final = "items"
_LARGEST_HALF: Final = 6e4


def arrays_of(sums: PaidSums, content_columns: int) -> dict[str, NDArray[Any]]:
    """Paid sums as named arrays, in float32 and float16; `sums_of` is the inverse, up to rounding and what is cut.

    ``content_columns``: of the content kernel's columns, at most; those that say most, by the items' mass, are kept.
    """
    arrays: dict[str, NDArray[Any]] = {POPULARITY: sums.popularity.astype(np.float32)}
    match sums:
        case PaidFactors():
            # In units of the root of an item's mass, where both are of the order of 1.
            root = np.sqrt(sums.mass)[:, None]
            arrays |= {
                MASS: sums.mass.astype(np.float32),
                FOUND: _half(sums.found / root),
                CONTENT: _half(_leading(root * sums.content, content_columns) / root),
            }
        case PaidCooccurrence():
            arrays |= {
                MATRIX: sums.matrix[np.triu_indices(len(sums.matrix))].astype(np.float32),
                ITEMS: sums.items,
            }
    return arrays


def sums_of(config: Config, arrays: NamedArrays) -> PaidSums:
    """Paid sums from arrays that were `accepted`."""
    popularity = arrays[POPULARITY].astype(np.float64)
    settings = config.collaborative
    if settings.power_iteration.enabled:
        mass = arrays[MASS].astype(np.float64)
        found = arrays[FOUND].astype(np.float64) * np.sqrt(mass)[:, None]
        return PaidFactors(popularity, centre_of(popularity), mass, found, arrays[CONTENT].astype(np.float64))
    if settings.cooccurrence.enabled:
        matrix = unfold(arrays[MATRIX].astype(np.float64))
        return PaidCooccurrence(popularity, matrix, arrays[ITEMS], config.privacy.epsilon is not None)
    return PaidSums(popularity)


def accepted(config: Config, request: Request, items: int) -> NamedArrays:
    """The arrays of a request, held to the form that the settings lead to.

    Raises:
        ProtocolError: one is missing, of another shape or type, beyond its range, or longer than the settings allow.
    """
    settings = config.collaborative
    arrays = {POPULARITY: vector_of(request, POPULARITY, np.float32)}
    if settings.power_iteration.enabled:
        arrays[MASS] = vector_of(request, MASS, np.float32)
        for name, most in ((FOUND, MOST_DIRECTIONS), (CONTENT, settings.selection.content_columns)):
            arrays[name] = _columns(request, name, items, most)
        if not (arrays[MASS] > 0).all():
            raise ProtocolError("a request's mass of items is not above 0", value=request.query)
    elif settings.cooccurrence.enabled:
        most = settings.cooccurrence.items
        part = min(most, items) if most else items
        arrays |= {MATRIX: vector_of(request, MATRIX, np.float32), ITEMS: vector_of(request, ITEMS, np.int64)}
        places = arrays[ITEMS]
        ordered = len(places) == part and bool((np.diff(places) > 0).all() and places[0] >= 0 and places[-1] < items)
        if not ordered or len(arrays[MATRIX]) != part * (part + 1) // 2:
            raise ProtocolError("a co-occurrence is not over the items that were set", value=len(places))
    for name in (POPULARITY, MASS):
        if name in arrays and len(arrays[name]) != items:
            raise ProtocolError(f"a request's {name} is not over this catalogue", value=len(arrays[name]))
    if not (arrays[POPULARITY] >= 0).all():
        raise ProtocolError("a request's popularity is below zero", value=request.query)
    return arrays


def _columns(request: Request, name: str, items: int, most: int) -> NDArray[Any]:
    table = request.arrays.get(name)
    if table is None or table.dtype != np.float16 or table.ndim != 2 or len(table) != items or table.shape[1] > most:
        raise ProtocolError(f"a request lacks its table {name!r}, over this catalogue", value=request.query)
    return table


def _leading(columns: TallTable, most: int) -> TallTable:
    """At most so many columns whose products are as near as can be to those of all columns."""
    if columns.shape[1] <= most:
        return columns
    return times(columns, directions_of(gram(columns), most)[0])


def _half(values: TallTable) -> NDArray[np.float16]:
    return np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
