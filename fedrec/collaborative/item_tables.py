"""What the opened sums add to the items' features: the modality ``behaviour`` and the edges of the co-occurrence graph.

Both are made by the server, once, of the collaborative factors alone, that is of sums whose noise is added and paid
for.  So they are post-processing and cost no budget (Dwork and Roth 2014, Proposition 2.1), whatever is done with them.

Every device gets them with each request about the tower (training, metrics), since a device may be asked for the
first time in any round and keeps nothing of a run: items times (columns + 1) half floats, and 4 bytes an edge.  That
way a round needs nothing but its request, secure aggregation binds the sum to them, and no table is ever sent back.
In a release they are part of the items' features, as any other modality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config
from fedrec.content import graph
from fedrec.content.feature_table import Features
from fedrec.errors import ProtocolError

MODALITY: Final = "behaviour"
ID: Final = "id"
FACTORS: Final = "item_factors"
NEIGHBOURS: Final = "item_neighbours"
# An estimate of an item's popularity that noise alone would exceed for one item in 44 says that it was used.
_DEVIATIONS: Final = 2.0
# How far popularity goes beside factors of length 1.
_POPULARITY: Final = 0.5

Tables = Mapping[str, NDArray[Any]]


def names(config: Config) -> tuple[str, ...]:
    """The tables that these settings lead to."""
    if not config.model.tower:
        return ()
    wanted = {
        FACTORS: config.collaborative.feature_columns > 0,
        NEIGHBOURS: config.model.graph in ("cooccurrence", "both"),
    }
    return tuple(name for name, there in wanted.items() if there)


def tables_of(config: Config, collaborative: CollaborativeFactors, deviation: float) -> dict[str, NDArray[Any]]:
    """The tables, from the collaborative factors.

    Args:
        config: which, and how large.
        collaborative: as solved from the noisy sums.
        deviation: of the noise in its popularity estimates. An item that is not above twice that is taken for unused:
            what is known of it would be noise, so it is without the modality and without edges.

    Returns:
        ``item_factors``: float16 [items, columns + 1], the table's symmetric factor on its leading directions, of
        length 1 together, then standardised log popularity; zeros for an item that is not used.
        ``item_neighbours``: int32 [items, neighbours], nearest first, -1 for none.
    """
    used = collaborative.popularity > _DEVIATIONS * deviation
    rows = np.where(used[:, None], collaborative.history, 0).astype(np.float64)
    made: dict[str, NDArray[Any]] = {}
    for name in names(config):
        if name == FACTORS:
            made[name] = _factors(rows, collaborative.popularity, used, config.collaborative.feature_columns)
        else:
            made[name] = graph.nearest(rows, config.model.graph_neighbours)
    return made


def none(config: Config, items: int) -> dict[str, NDArray[Any]]:
    """The tables before anything is known: no item has the modality, or an edge."""
    return tables_of(config, CollaborativeFactors.empty(items), 0.0)


def agreed(config: Config, arrays: Tables, items: int) -> dict[str, NDArray[Any]]:
    """The tables of a request, held to the settings. Raises ProtocolError for another shape, kind or content."""
    found = {}
    for name in names(config):
        table = arrays.get(name)
        columns = config.collaborative.feature_columns + 1 if name == FACTORS else config.model.graph_neighbours
        kind = "float16" if name == FACTORS else "int32"
        if table is None or table.shape != (items, columns) or table.dtype.name != kind:
            raise ProtocolError(f"a request lacks its table {name!r}, as this device's settings have it")
        if not np.isfinite(table).all() or (name == NEIGHBOURS and not ((table >= -1) & (table < items)).all()):
            raise ProtocolError("a table of items holds what is no feature and no item", value=name)
        found[name] = table
    return found


def extended(config: Config, features: Features, tables: Tables) -> Features:
    """The features as the tower reads them: with the modalities ``behaviour`` and ``id``, smoothed on the graph.

    ``tables``: as `tables_of` or `agreed` gave them.  The same on the server and on every device.
    """
    values, present = dict(features.values), dict(features.present)
    if FACTORS in tables:
        values[MODALITY] = tables[FACTORS].astype(np.float32)
        present[MODALITY] = np.asarray(values[MODALITY].any(axis=1))
    if config.model.graph != "none":
        lists = [tables[NEIGHBOURS]] if NEIGHBOURS in tables else []
        if config.model.graph in ("content", "both"):
            content = graph.side_by_side(features.values, features.present)
            lists.append(graph.nearest(content, config.model.graph_neighbours))
        edges = graph.adjacency(lists, len(features.ids))
        for name in [name for name in values if graph.ready(values[name])]:
            values[name] = graph.smoothed(values[name], present[name], edges, config.model.graph_layers)
    if config.model.id_embedding:
        values[ID] = np.arange(len(features.ids), dtype=np.int32)[:, None]
        present[ID] = np.ones(len(features.ids), dtype=np.bool_)
    if values.keys() == features.values.keys() and config.model.graph == "none":
        return features
    return replace(features, values=values, present=present)


def _factors(
    rows: NDArray[np.float64], popularity: NDArray[np.float32], used: NDArray[np.bool_], columns: int
) -> NDArray[np.float16]:
    """Directions are those of the items' cosines, each item counting as it is used: what is said of rare ones is mostly
    noise, and should not decide where all of them are looked at from."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(length > 0, length, 1.0)
    moment = (unit * popularity[:, None]).T @ unit
    kept = min(columns, len(moment))
    table = np.zeros((len(rows), columns + 1))
    if kept:
        _, vectors = eigh(moment, subset_by_index=[len(moment) - kept, len(moment) - 1])
        leading = unit @ vectors[:, ::-1]
        leading *= np.where(np.take_along_axis(leading, np.abs(leading).argmax(0)[None], 0) < 0, -1.0, 1.0)
        length = np.linalg.norm(leading, axis=1, keepdims=True)
        table[:, :kept] = leading / np.where(length > 0, length, 1.0)
    if used.any():
        told = np.log(popularity[used].astype(np.float64))
        table[used, -1] = _POPULARITY * (told - told.mean()) / max(float(told.std()), 1e-9)
    return table.astype(np.float16)
