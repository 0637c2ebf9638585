"""A release's ranking as one JSON document, which ``browser/rank.js`` ranks from.

An array is ``{"type", "shape", "data"}``: its numbers little-endian, in C order, in base64. Of type ``int8`` it has
``scales`` beside, float32 of one number a row in base64, which the row's numbers are multiplied by. docs/export.md
has the document's keys.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ReleaseError
from fedrec.export.parity import Probe
from fedrec.export.parts import RankingParts, TowerPart
from fedrec.ranking.evidence import ERROR, PRIOR_EVENTS, TASTE, TASTE_HALF
from fedrec.release import canonical

VERSION: Final = 1
Precision = Literal["float32", "int8"]
# What rank.js has written out; a tower of another package is not among them.
TOWERS: Final = ("mean", "recency", "gru", "attention")
_LARGEST: Final = 127
_TYPES: Final = {"float32": "<f4", "float64": "<f8", "int32": "<i4"}


def json_bytes(
    parts: RankingParts, probes: Sequence[Probe], source: Mapping[str, Any], *, precision: Precision = "float32"
) -> bytes:
    """The document. ``source``: what names the release; ``precision``: of the tables over the catalogue.

    Raises:
        ReleaseError: the release's user tower is none that the page has.
    """
    table = encoded if precision == "float32" else quantised
    document = {
        "format": "fedrec.export",
        "version": VERSION,
        "source": dict(source),
        "events": parts.positive,
        "ids": list(parts.ids),
        "titles": list(parts.titles),
        "order": encoded(parts.order, "int32"),
        "popularity": encoded(parts.popularity),
        "tower": None if parts.tower is None else _tower(parts.tower, table),
        "table": None
        if parts.table is None
        else {
            "history": table(parts.table.history),
            "candidate": table(parts.table.candidate),
            "recency": parts.table.recency,
            "weight": parts.table.weight,
        },
        "fold_in": None
        if parts.fold_in is None
        else {
            # Float32 always: the equations that are solved with them make much of a little rounding.
            "factors": encoded(parts.fold_in.factors),
            "spread": encoded(parts.fold_in.spread, "float64"),
            "unknown": parts.fold_in.unknown,
            "ridge": parts.fold_in.ridge,
            "share": parts.fold_in.share,
        },
        "evidence": None
        if parts.evidence is None
        else {
            "popularity": encoded(parts.evidence.popularity),
            "popular": encoded(parts.evidence.popular),
            "reads_events": parts.evidence.reads_events,
            "taste": TASTE,
            "taste_half": TASTE_HALF,
            "prior_events": PRIOR_EVENTS,
            "error": ERROR,
        },
        "probes": [
            {
                "history": probe.places.tolist(),
                "at": probe.at,
                "top": probe.top.tolist(),
                "scores": [float(score) for score in probe.scores[probe.top]],
            }
            for probe in probes
        ],
    }
    return canonical.encode(document, what="release.json")


def encoded(values: NDArray[Any], kind: str = "float32") -> dict[str, Any]:
    """An array as the document has it."""
    return {"type": kind, "shape": list(values.shape), "data": _base64(values.astype(_TYPES[kind]))}


def quantised(values: NDArray[np.floating]) -> dict[str, Any]:
    """A table [rows, width] in whole numbers from -127 to 127 and a scale a row."""
    largest = np.abs(values).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / _LARGEST, 1.0).astype("<f4")
    whole = np.clip(np.rint(values / scales[:, None]), -_LARGEST, _LARGEST).astype(np.int8)
    return {"type": "int8", "shape": list(values.shape), "data": _base64(whole), "scales": _base64(scales)}


def _tower(part: TowerPart, table: Any) -> dict[str, Any]:
    if part.kind not in TOWERS:
        raise ReleaseError(
            "the JSON export has no such user tower", value=part.kind, action="Export with --to onnx, which has any"
        )
    parameters = {
        name.removeprefix("history."): encoded(value.numpy())
        for name, value in part.user.state_dict().items()
        if name.startswith("history.")
    }
    return {
        "kind": part.kind,
        "history": part.history,
        "weight": part.weight,
        "vectors": table(part.vectors),
        "parameters": parameters,
        "context": None if part.context is None else encoded(part.context.state_dict()["weight"].numpy()),
    }


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
