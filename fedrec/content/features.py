"""Building, saving and loading the features of a catalogue, with the encoders that made them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.config import ContentSettings
from fedrec.content.building import encode_modality, encode_ready, has_content
from fedrec.content.bundle import write_atomically
from fedrec.content.cache import FeatureCache
from fedrec.content.catalogue import Catalogue
from fedrec.content.encoder import ContentWarning, Progress
from fedrec.content.feature_table import FEATURES_FILE, Features, features_from_bytes, features_to_bytes
from fedrec.content.labels import labels_of
from fedrec.content.registry import AnyEncoder, encoder_from_bytes, encoder_to_bytes
from fedrec.errors import ContentError

__all__ = ["Features", "build_features", "load_features", "save_features"]


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
        ``ready`` has no encoder. A modality that no item has is left out, with a warning; where none remains, the
        features are ids and titles alone, which is enough to rank by behaviour.

    Raises:
        ContentError: ready-made features do not fit, or an encoder cannot work here.
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
    titles = tuple(item.title for item in catalogue)
    weights = {name: found for name, encoder in encoders.items() if (found := encoder.weights())}
    table = Features(catalogue.ids, titles, values, present, tuple(warnings), weights, labels_of(catalogue))
    return table, encoders


def save_features(features: Features, encoders: Mapping[str, AnyEncoder], directory: Path) -> str:
    """Write ``features.safetensors`` and one ``encoder-<modality>.safetensors`` for each encoder.

    Returns:
        A SHA-256 in hex over all of it; `load_features` can be held to it.

    Raises:
        ContentError: the directory cannot be written.
    """
    files = {f"encoder-{name}.safetensors": encoder_to_bytes(encoder) for name, encoder in sorted(encoders.items())}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    data = features_to_bytes(features, encoders=hashes)
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
    features, hashes = features_from_bytes(data)
    encoders = {}
    for name, expected in hashes.items():
        encoder_data = _read(directory / name)
        if hashlib.sha256(encoder_data).hexdigest() != expected:
            raise ContentError(f"{name} is not the file saved with these features", action="Build them again")
        encoder = encoder_from_bytes(encoder_data)
        encoders[encoder.modality] = encoder
    return features, encoders


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContentError(
            f"cannot read {path.name}: {error.strerror}", value=str(path), action="Build the features first"
        ) from None
