"""Catalogue manipulation by the server: features made so that an update tells item from item.

RAIFLE (Pham, Kulkarni and Houmansadr 2023, "RAIFLE: Reconstruction Attacks on Interaction-based Federated Learning with
Adversarial Data Manipulation", section 4).  The gradient of a linear layer's weight is a sum over items of (what the
loss wants of the item's vector) x (the item's feature).  Where the server gives the items that it asks about features
that are orthogonal to all others, each has a column of the gradient to itself: the column is zero exactly if the item
was not in what the device trained on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedrec.content.feature_table import Features
from fedrec.errors import ModelError
from fedrec.model.parameters import named_parts
from fedrec.model.recommender import Recommender

Floats = NDArray[np.float64]


def fingerprinted(features: Features, items: NDArray[np.int64], modality: str) -> Features:
    """The catalogue with a feature of their own for ``items``: unit vectors of ``modality``, which no other item has.

    Everything else is left as it is, so that devices still have something to learn.

    Raises:
        ModelError: more items than the modality has coordinates, or features that are not vectors of numbers.
    """
    values = features.values[modality]
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating) or len(items) > values.shape[1]:
        raise ModelError(
            f"{modality} has no coordinate for each item that is asked about",
            value=(len(items), values.shape),
            action="Ask about fewer items",
        )
    crafted, present = np.zeros_like(values), np.zeros_like(features.present[modality])
    crafted[items, np.arange(len(items))] = 1.0
    present[items] = True
    kept = {name: array.copy() for name, array in features.present.items()}
    for array in kept.values():
        array[items] = False
    return replace(
        features,
        values={
            name: array * kept[name].reshape(-1, *[1] * (array.ndim - 1)).astype(array.dtype)
            for name, array in features.values.items()
        }
        | {modality: crafted},
        present=kept | {modality: present},
    )


def columns(model: Recommender, update: Floats, modality: str, items: int) -> Floats:
    """The columns of an update that belong to the fingerprinted items: float64 [items, dimension].

    Raises:
        ModelError: the update is of another model, or the modality's encoder is not a linear head.
    """
    weight = named_parts(model, update).get(f"encoders.{modality}.linear.weight")
    if weight is None:
        raise ModelError("only a linear head gives items columns of their own", value=modality)
    return np.asarray(weight.T[:items], dtype=np.float64)


def matched(columns_: Floats, expected: Floats) -> Floats:
    """How much of what the item's users send is in its column: inner products [items] with unit directions.

    ``expected``: [items, dimension], what devices with the item send on average, which the server learns from devices
    of its own.  An item for which nothing is expected scores by the column's length.
    """
    lengths = np.linalg.norm(expected, axis=1)
    along = np.einsum("id,id->i", columns_, expected) / np.where(lengths > 0, lengths, 1.0)
    return np.asarray(np.where(lengths > 0, along, np.linalg.norm(columns_, axis=1)))
