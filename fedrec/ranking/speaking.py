"""Which events of a history speak for an item, and how alike the two are in each modality's content.

How much an event says is its likeness to the item as the score has it: the tower's cosine and the co-occurrence, the
latter brought to at most 1, weighted as in the final score. Nothing here leaves the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.ranking.score import Scorer
from fedrec.release.contents import FeatureTable
from fedrec.users import Histories

MOST: Final = 3


@dataclass(frozen=True)
class SpeakingEvent:
    """An event that speaks for an item. ``item``: the place of what was met; ``share``: its part in what all events
    say, 0 to 1; ``alike``: modality -> cosine of the two items' content around the catalogue's mean, where both have
    it."""

    item: int
    share: float
    alike: Mapping[str, float]


def likeness(
    scorer: Scorer, histories: Histories, places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How like each item [n] is to what one user met: the items met [m], the latest first, and likeness [n, m].

    An item's likeness to itself is -inf.  Raises ModelError where an item lies beyond the catalogue.
    """
    # Latest first, so that argmax takes the later one of equals.
    met = np.array(list(dict.fromkeys(histories.items[::-1].tolist())), dtype=np.int64)
    histories.check(scorer.items)
    found = np.zeros((len(places), len(met)))
    if not len(met):
        return met, found
    weight = scorer.settings.scoring.weight
    if scorer.tower is not None:
        vectors = scorer.tower.vectors().numpy()
        found += (1.0 - weight) * (vectors[places] @ vectors[met].T)
    if scorer.collaborative is not None and scorer.collaborative.rank:
        together = scorer.collaborative.candidate[places] @ scorer.collaborative.history[met].T
        largest = np.abs(together).max(axis=1, keepdims=True)
        found += weight * together / np.where(largest > 0, largest, 1.0)
    found[met[None] == places[:, None]] = -np.inf
    return met, found


def speaking_events(scorer: Scorer, histories: Histories, places: NDArray[np.int64]) -> list[tuple[SpeakingEvent, ...]]:
    """For each item [n] the events of one user that say most for it; see `speaking`. Raises as `likeness`.

    Takes a pass over the catalogue's features, so it is for a report, not for a list that somebody waits for.
    """
    met, like = likeness(scorer, histories, places)
    centres = _centres(scorer.features)
    return [speaking(scorer.features, int(place), met, like[at], centres) for at, place in enumerate(places)]


def speaking(
    features: FeatureTable,
    place: int,
    met: NDArray[np.int64],
    like: NDArray[np.float64],
    centres: Mapping[str, NDArray[np.float64]] | None = None,
) -> tuple[SpeakingEvent, ...]:
    """The events that say most for one item, the loudest first; none that speaks against it.

    Args:
        features: the catalogue's.
        place: the item.
        met, like: as `likeness` gives them, of this item: [m] each.
        centres: the catalogue's mean in each modality, where it is at hand.
    """
    said = np.maximum(like, 0.0)
    total = float(said.sum())
    loudest = np.argsort(-said, kind="stable")[:MOST]
    means = _centres(features) if centres is None else centres
    return tuple(
        SpeakingEvent(int(met[one]), float(said[one] / total), _alike(features, means, place, int(met[one])))
        for one in loudest
        if said[one] > 0
    )


def _centres(features: FeatureTable) -> dict[str, NDArray[np.float64]]:
    """The mean of what items have, by modality; token ids and pixels are no vectors to take a mean of."""
    return {
        name: np.asarray(values[features.present[name]].mean(axis=0, dtype=np.float64))
        for name, values in features.values.items()
        if values.ndim == 2 and np.issubdtype(values.dtype, np.floating) and features.present[name].any()
    }


def _alike(
    features: FeatureTable, centres: Mapping[str, NDArray[np.float64]], one: int, other: int
) -> dict[str, float]:
    found = {}
    for name, mean in centres.items():
        values, present = features.values[name], features.present[name]
        if not (present[one] and present[other]):
            continue
        first, second = values[one] - mean, values[other] - mean
        length = float(np.linalg.norm(first) * np.linalg.norm(second))
        if length > 0:
            found[name] = float(first @ second) / length
    return found
