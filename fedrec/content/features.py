"""The features of a whole catalogue: what models train on, devices rank with, and a release carries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.config import ContentSettings
from fedrec.content.building import encode_modality, encode_ready, has_content
from fedrec.content.bundle import pack, unpack, write_atomically
from fedrec.content.cache import FeatureCache
from fedrec.content.catalogue import Catalogue
from fedrec.content.encoder import ContentWarning, Progress
from fedrec.content.registry import AnyEncoder, encoder_from_bytes, encoder_to_bytes
from fedrec.errors import ContentError

FEATURES_FILE = "features.safetensors"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Features:
    """Encoded items in the order of the catalogue.

    ``ids``, ``titles``: one for each item. ``values``: modality -> [items, ...], float32 features, int32 tokens
    (text) or uint8 pixels (image), finite. ``present``: modality -> bool [items]; where False the values are zeros
    and must be masked, not read. ``warnings``: content that could not be used in full.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    values: dict[str, NDArray[Any]]
    present: dict[str, NDArray[np.bool_]]
    warnings: tuple[ContentWarning, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.ids)
        fits = len(self.titles) == rows and self.values.keys() == self.present.keys()
        if not fits or any(
            len(self.values[name]) != rows or self.present[name].shape != (rows,) for name in self.values
        ):
            raise ContentError("features need one row for each item in every modality", value=f"{rows} items")

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
        """SHA-256 in hex of ids, titles, values and presence; equal digests mean equal features."""
        return hashlib.sha256(_packed(self, warnings=False)).hexdigest()


def build_features(
    catalogue: Catalogue,
    settings: ContentSettings,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    ready: Mapping[str, NDArray[Any]] | None = None,
) -> tuple[Features, dict[str, AnyEncoder]]:
    """Encode a catalogue. Encoders learn from the catalogue alone, never from what users did, wrote or photographed.

    Args:
        catalogue: the items.
        settings: which modalities, and how each is encoded.
        cache: a directory that makes a second run quick; None keeps nothing.
        progress: called as (done, total, what).
        ready: modality -> ready-made features [items, width], used in place of encoding that modality.

    Returns:
        The features, and the fitted encoders by modality, which encode a user's notes and photos alike. A modality of
        ``ready`` has no encoder. A modality that no item has is left out, with a warning.

    Raises:
        ContentError: no modality remains, ready-made features do not fit, or an encoder cannot work here.
    """
    kept = FeatureCache(cache)
    given = ready or {}
    values: dict[str, NDArray[Any]] = {}
    present: dict[str, NDArray[np.bool_]] = {}
    warnings: list[ContentWarning] = []
    encoders: dict[str, AnyEncoder] = {}
    for modality in settings.modalities:
        if modality in given:
            encoded = encode_ready(modality, given[modality], catalogue, settings)
        elif has_content(modality, catalogue):
            encoders[modality], encoded = encode_modality(modality, catalogue, settings, kept, progress)
        else:
            warnings.append(ContentWarning("", modality, "no item of the catalogue has it; the modality is left out"))
            continue
        values[modality], present[modality] = encoded.values, encoded.present
        warnings += encoded.warnings(catalogue.ids, modality)
    if not values:
        raise ContentError(
            "no item has any of the modalities in content.modalities",
            value=settings.modalities,
            action="Name a modality that the data set has",
        )
    titles = tuple(item.title for item in catalogue)
    return Features(catalogue.ids, titles, values, present, tuple(warnings)), encoders


def save_features(features: Features, encoders: Mapping[str, AnyEncoder], directory: Path) -> str:
    """Write ``features.safetensors`` and one ``encoder-<modality>.safetensors`` for each encoder.

    Returns:
        A SHA-256 in hex over all of it; `load_features` can be held to it.

    Raises:
        ContentError: the directory cannot be written.
    """
    files = {f"encoder-{name}.safetensors": encoder_to_bytes(encoder) for name, encoder in sorted(encoders.items())}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    data = _packed(features, encoders=hashes)
    for name, encoder_data in files.items():
        write_atomically(directory / name, encoder_data)
    write_atomically(directory / FEATURES_FILE, data)
    return hashlib.sha256(data).hexdigest()


def load_features(directory: Path, *, digest: str | None = None) -> tuple[Features, dict[str, AnyEncoder]]:
    """The inverse of `save_features`; ``digest`` is what that returned, None takes what is there.

    Raises:
        ContentError: a file is missing, damaged, or not the one that was saved with the others.
    """
    data = _read(directory / FEATURES_FILE)
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise ContentError("features are not those asked for", value=str(directory), action="Build them again")
    features, hashes = _unpacked(data)
    encoders = {}
    for name, expected in hashes.items():
        encoder_data = _read(directory / name)
        if hashlib.sha256(encoder_data).hexdigest() != expected:
            raise ContentError(f"{name} is not the file saved with these features", action="Build them again")
        encoder = encoder_from_bytes(encoder_data)
        encoders[encoder.modality] = encoder
    return features, encoders


def _packed(features: Features, *, warnings: bool = True, encoders: Mapping[str, str] | None = None) -> bytes:
    arrays: dict[str, NDArray[Any]] = {}
    for name in features.modalities:
        arrays[f"{name}/values"] = features.values[name]
        arrays[f"{name}/present"] = features.present[name]
    said = [[w.item, w.modality, w.reason] for w in features.warnings] if warnings else []
    names = {"ids": features.ids, "titles": features.titles, "modalities": features.modalities}
    return pack(arrays, {"version": VERSION, "warnings": said, "encoders": dict(encoders or {}), **names})


def _unpacked(data: bytes) -> tuple[Features, dict[str, str]]:
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
        )
        hashes = {str(name): str(value) for name, value in meta["encoders"].items()}
    except (KeyError, TypeError, AttributeError):
        raise ContentError(f"{FEATURES_FILE} is damaged", action="Build the features again") from None
    if any(Path(name).name != name for name in hashes):
        raise ContentError(f"{FEATURES_FILE} names an encoder outside of its directory")
    return features, hashes


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContentError(
            f"cannot read {path.name}: {error.strerror}", value=str(path), action="Build the features first"
        ) from None
