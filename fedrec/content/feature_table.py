"""The features of a whole catalogue as one table; imports nothing that knows about events, so servers can use it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.content.bundle import pack, unpack
from fedrec.content.encoder import ContentWarning
from fedrec.content.labels import ItemLabels
from fedrec.errors import ContentError

FEATURES_FILE = "features.safetensors"
_LABELS = "item labels"
VERSION = 2


@dataclass(frozen=True, eq=False)
class Features:
    """Encoded items in the order of the catalogue.

    ``ids``, ``titles``: one for each item. ``values``: modality -> [items, ...], float32 features, int32 tokens
    (text), uint8 pixels (image) or float16 states (text), finite. ``present``: modality -> bool [items]; where False
    the values are zeros and must be masked, not read. ``warnings``: content that could not be used in full.
    ``weights``: modality -> what `Encoder.weights` gave, where it gave any; part of the digest that a device holds its
    catalogue to, so they need not be sent with every request.  ``labels``: the items' attribute values by name, whether
    or not a modality is made of them; None where nobody says.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    values: dict[str, NDArray[Any]]
    present: dict[str, NDArray[np.bool_]]
    warnings: tuple[ContentWarning, ...] = ()
    weights: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    labels: ItemLabels | None = None

    def __post_init__(self) -> None:
        rows = len(self.ids)
        fits = len(self.titles) == rows and self.values.keys() == self.present.keys()
        if not fits or any(
            len(self.values[name]) != rows or self.present[name].shape != (rows,) for name in self.values
        ):
            raise ContentError("features need one row for each item in every modality", value=f"{rows} items")
        if self.labels is not None and len(self.labels) != rows:
            raise ContentError(f"labels are not of {rows} items", value=len(self.labels))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities, in a fixed order."""
        return tuple(self.values)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """modality -> shape of one item's features, as a model wants it."""
        return {name: tuple(array.shape[1:]) for name, array in self.values.items()}

    @property
    def widths(self) -> dict[str, int]:
        """modality -> first number of its shape."""
        return {name: shape[0] for name, shape in self.shapes.items()}

    @property
    def index(self) -> dict[str, int]:
        """item id -> place."""
        return {item: place for place, item in enumerate(self.ids)}

    def digest(self) -> str:
        """SHA-256 in hex of ids, titles, values, presence and weights; equal digests mean equal features."""
        return hashlib.sha256(features_to_bytes(self, warnings=False)).hexdigest()


def features_to_bytes(features: Features, *, warnings: bool = True, encoders: Mapping[str, str] | None = None) -> bytes:
    """One safetensors file; ``encoders``: file name -> SHA-256 of the encoders saved beside it."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in features.modalities:
        arrays[f"{name}/values"] = features.values[name]
        arrays[f"{name}/present"] = features.present[name]
        arrays |= {f"{name}/weights/{part}": array for part, array in features.weights.get(name, {}).items()}
    if features.labels is not None:
        arrays |= {f"{_LABELS}/indptr": features.labels.indptr, f"{_LABELS}/places": features.labels.places}
    said = [[w.item, w.modality, w.reason] for w in features.warnings] if warnings else []
    names = {"ids": features.ids, "titles": features.titles, "modalities": features.modalities}
    names["labels"] = () if features.labels is None else features.labels.names
    return pack(arrays, {"version": VERSION, "warnings": said, "encoders": dict(encoders or {}), **names})


def features_from_bytes(data: bytes) -> tuple[Features, dict[str, str]]:
    """The inverse of `features_to_bytes`, with its ``encoders``. Raises ContentError where the bytes are damaged."""
    arrays, meta = unpack(data, what=FEATURES_FILE)
    try:
        if meta["version"] != VERSION:
            raise ContentError(f"{FEATURES_FILE} is of another version", value=meta["version"])
        features = Features(
            tuple(meta["ids"]),
            tuple(meta["titles"]),
            {name: arrays[f"{name}/values"] for name in meta["modalities"]},
            {name: arrays[f"{name}/present"] for name in meta["modalities"]},
            tuple(ContentWarning(*warning) for warning in meta["warnings"]),
            _weights(arrays),
            _labels(arrays, meta["labels"]),
        )
        hashes = {str(name): str(value) for name, value in meta["encoders"].items()}
    except (KeyError, TypeError, AttributeError):
        raise ContentError(f"{FEATURES_FILE} is damaged", action="Build the features again") from None
    if any(Path(name).name != name for name in hashes):
        raise ContentError(f"{FEATURES_FILE} names an encoder outside of its directory")
    return features, hashes


def _weights(arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for place, array in arrays.items():
        modality, kind, name = [*place.split("/", 2), ""][:3]
        if kind == "weights":
            found.setdefault(modality, {})[name] = array
    return found


def _labels(arrays: Mapping[str, NDArray[Any]], names: Sequence[str]) -> ItemLabels | None:
    if f"{_LABELS}/indptr" not in arrays:
        return None
    indptr, places = arrays[f"{_LABELS}/indptr"], arrays[f"{_LABELS}/places"]
    return ItemLabels(tuple(str(name) for name in names), indptr.astype(np.int64), places.astype(np.int32))


def load_table(directory: Path) -> Features:
    """The features in a directory made by `save_features`, without the encoders, which take longer to import and read.

    Raises:
        ContentError: the file is missing or damaged.
    """
    return features_from_bytes(_read(directory))[0]


def encoder_hashes(directory: Path) -> dict[str, str]:
    """File name -> SHA-256 in hex of the encoders that were saved beside the features. Raises as `load_table`."""
    return features_from_bytes(_read(directory))[1]


def _read(directory: Path) -> bytes:
    try:
        return (directory / FEATURES_FILE).read_bytes()
    except OSError as error:
        raise ContentError(
            f"cannot read {FEATURES_FILE}: {error.strerror}", value=str(directory), action="Build the features first"
        ) from None
