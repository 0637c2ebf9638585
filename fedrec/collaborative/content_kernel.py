"""The content kernel: how alike items are by public content, what collaboration starts from where little is known.

Linear, it is the weighted sum of the modalities' cosines, S.  Sharpened by b, it is exp(b (C - 1)) with C the same
brought to a diagonal of 1: the Gaussian kernel on the joined unit vectors (Schoelkopf and Smola 2002, section 2.3), in
which an item's nearest neighbours say much more than all the others together.  It is made of public facts alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.sharpened_factors import likeness, sharpened_factors, unit_rows
from fedrec.collaborative.tall import TallTable, blocks, directions_of, gram, refuse_square, stored_as, times
from fedrec.config import PriorSettings
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError

Floats = NDArray[np.float64]
_WITHOUT = "Enable collaborative.power_iteration in place of collaborative.cooccurrence, or set prior.weight to 0"


def content_kernel(features: Features, settings: PriorSettings) -> Floats:
    """The kernel [items, items].  A missing modality counts 0; an item without content is like none, not like itself.

    Raises:
        ConfigError: a weight names a modality that the content does not have.
        ModelError: there are more than 20,000 items.
    """
    refuse_square(len(features.ids), "the content kernel", action=_WITHOUT)
    vectors = _joined(features, settings).astype(np.float64, copy=False)
    if not settings.sharpness:
        return vectors @ vectors.T
    unit = unit_rows(vectors)
    return np.asarray(likeness(unit, unit, settings.sharpness))


def content_factors(features: Features, settings: PriorSettings) -> TallTable:
    """Vectors [items, w] whose products are the kernel: exactly where it is linear, else as near as rank
    ``settings.rank`` allows, see `fedrec.collaborative.sharpened_factors`.

    Float64, and float32 of more than 20,000 items.

    Raises:
        ConfigError: a weight names a modality that the content does not have.
    """
    vectors = _joined(features, settings)
    return sharpened_factors(vectors, settings.sharpness, settings.rank) if settings.sharpness else vectors


def check_prior(features: Features, weights: Mapping[str, float]) -> None:
    """Hold the prior's weights to the content, before anything is asked. Raises ConfigError."""
    unknown = sorted(set(weights) - set(features.values))
    if unknown or not weights:
        raise ConfigError(
            "collaborative.prior.modalities must name modalities of the content",
            value=unknown or dict(weights),
            action=f"The content has {', '.join(sorted(features.values))}",
        )


def _joined(features: Features, settings: PriorSettings) -> TallTable:
    """Unit vectors of all modalities side by side, each times the root of its weight, and what they say together."""
    check_prior(features, settings.modalities)
    columns = [unit_vectors(features, name, weight) for name, weight in settings.modalities.items()]
    if settings.leading:
        weight = settings.leading * sum(settings.modalities.values())
        together = _together(features, settings)
        together *= np.sqrt(weight)
        columns.append(together)
    return columns[0] if len(columns) == 1 else np.hstack(columns)


def unit_vectors(features: Features, name: str, weight: float = 1.0) -> TallTable:
    """A modality's features at length sqrt(weight), [items, w]; zeros where an item has none.

    Float64, and float32 of more than 20,000 items.
    """
    values = features.values[name].reshape(len(features.ids), -1)
    made = np.empty(values.shape, dtype=stored_as(len(values)))
    for part in blocks(len(values)):
        there = np.asarray(values[part], dtype=np.float64) * features.present[name][part, None]
        lengths = np.maximum(np.linalg.norm(there, axis=1, keepdims=True), 1e-12)
        made[part] = there * (np.sqrt(weight) / lengths)
    return made


def _together(features: Features, settings: PriorSettings) -> TallTable:
    """Places at length 1 among the leading directions of the centred joint content, evened out half-way.

    As `fedrec.model.warm_start`, of which this is the closed form without a tower: few directions that several
    modalities agree on say more of taste than their many details.
    """
    columns = []
    for name, weight in settings.modalities.items():
        unit, there = unit_vectors(features, name, weight), features.present[name]
        unit -= np.asarray(unit.sum(axis=0, dtype=np.float64) / max(int(there.sum()), 1), dtype=unit.dtype)
        unit[~there] = 0.0
        columns.append(unit)
    joint = columns[0] if len(columns) == 1 else np.hstack(columns)
    vectors, singular = directions_of(gram(joint), settings.leading_rank)
    places = times(joint, vectors / np.sqrt(singular))
    lengths = np.linalg.norm(places, axis=1, keepdims=True)
    return np.where(lengths > 1e-9, places / np.maximum(lengths, 1e-9), 0.0).astype(joint.dtype)
