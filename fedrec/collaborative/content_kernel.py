"""The content kernel: how alike items are by public content, what collaboration starts from where little was heard.

Linear, it is the weighted sum of the modalities' cosines, S.  Sharpened by b, it is exp(b (C - 1)) with C the same
brought to a diagonal of 1: the Gaussian kernel on the joined unit vectors (Schoelkopf and Smola 2002, section 2.3), in
which an item's nearest neighbours say much more than all the others together.  It is made of public facts alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from fedrec.config import PriorSettings
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError

Floats = NDArray[np.float64]


def content_kernel(features: Features, settings: PriorSettings) -> Floats:
    """The kernel [items, items].  A missing modality counts 0; an item without content is like none, not like itself.

    Raises:
        ConfigError: a weight names a modality that the content does not have.
    """
    vectors = _joined(features, settings.modalities)
    return _sharpened(vectors, settings.sharpness) if settings.sharpness else vectors @ vectors.T


def content_factors(features: Features, settings: PriorSettings) -> Floats:
    """Vectors [items, w] whose products are the kernel: exactly where it is linear, else as near as rank
    ``settings.rank`` allows.

    Raises:
        ConfigError: a weight names a modality that the content does not have.
    """
    vectors = _joined(features, settings.modalities)
    if not settings.sharpness:
        return vectors
    kernel = _sharpened(vectors, settings.sharpness)
    rank = min(settings.rank, len(kernel))
    values, directions = eigh(kernel, subset_by_index=[len(kernel) - rank, len(kernel) - 1])
    return np.asarray(directions * np.sqrt(np.maximum(values, 0.0)))


def check_prior(features: Features, weights: Mapping[str, float]) -> None:
    """Hold the prior's weights to the content, before anything is asked. Raises ConfigError."""
    unknown = sorted(set(weights) - set(features.values))
    if unknown or not weights:
        raise ConfigError(
            "collaborative.prior.modalities must name modalities of the content",
            value=unknown or dict(weights),
            action=f"The content has {', '.join(sorted(features.values))}",
        )


def _joined(features: Features, weights: Mapping[str, float]) -> Floats:
    """Unit vectors of all the modalities side by side, each times the root of its weight."""
    check_prior(features, weights)
    columns = []
    for name, weight in weights.items():
        values = np.asarray(features.values[name], dtype=np.float64).reshape(len(features.ids), -1)
        values = values * features.present[name][:, None]
        unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
        columns.append(np.sqrt(weight) * unit)
    return np.hstack(columns)


def _sharpened(vectors: Floats, sharpness: float) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    there = lengths > 1e-9
    unit = np.where(there, vectors / np.maximum(lengths, 1e-9), 0.0)
    return np.asarray(np.exp(sharpness * (unit @ unit.T - 1.0)) * there * there.T)
