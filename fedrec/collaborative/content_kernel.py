"""The content kernel: how alike items are by public content, what collaboration starts from where little is known.

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
    vectors = _joined(features, settings)
    return _sharpened(vectors, settings.sharpness) if settings.sharpness else vectors @ vectors.T


def content_factors(features: Features, settings: PriorSettings) -> Floats:
    """Vectors [items, w] whose products are the kernel: exactly where it is linear, else as near as rank
    ``settings.rank`` allows.

    Raises:
        ConfigError: a weight names a modality that the content does not have.
    """
    vectors = _joined(features, settings)
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


def _joined(features: Features, settings: PriorSettings) -> Floats:
    """Unit vectors of all modalities side by side, each times the root of its weight, and what they say together."""
    check_prior(features, settings.modalities)
    columns = [np.sqrt(weight) * unit_vectors(features, name) for name, weight in settings.modalities.items()]
    if settings.leading:
        weight = settings.leading * sum(settings.modalities.values())
        columns.append(np.sqrt(weight) * _together(features, settings))
    return np.hstack(columns)


def unit_vectors(features: Features, name: str) -> Floats:
    """A modality's features at length 1, [items, w]; zeros where an item has none."""
    values = np.asarray(features.values[name], dtype=np.float64).reshape(len(features.ids), -1)
    values = values * features.present[name][:, None]
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))


def _together(features: Features, settings: PriorSettings) -> Floats:
    """Places at length 1 among the leading directions of the centred joint content, evened out half-way.

    As `fedrec.model.warm_start`, of which this is the closed form without a tower: few directions that several
    modalities agree on say more of taste than their many details.
    """
    blocks = []
    for name, weight in settings.modalities.items():
        unit, there = unit_vectors(features, name), features.present[name][:, None]
        blocks.append(np.sqrt(weight) * (unit - unit.sum(axis=0) / max(int(there.sum()), 1)) * there)
    left, singular, _ = np.linalg.svd(np.hstack(blocks), full_matrices=False)
    places = left[:, : settings.leading_rank] * np.sqrt(singular[: settings.leading_rank])
    lengths = np.linalg.norm(places, axis=1, keepdims=True)
    return np.asarray(np.where(lengths > 1e-9, places / np.maximum(lengths, 1e-9), 0.0))


def _sharpened(vectors: Floats, sharpness: float) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    there = lengths > 1e-9
    unit = np.where(there, vectors / np.maximum(lengths, 1e-9), 0.0)
    return np.asarray(np.exp(sharpness * (unit @ unit.T - 1.0)) * there * there.T)
