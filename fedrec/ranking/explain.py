"""Why an item is on the list, told from the model itself: what each part gave, and the nearest of the history.

A modality's say is measured by ablation: how much of the final score is lost when the tower does not know that
modality, neither in the item nor in the user. Nothing here leaves the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.ranking.score import Scorer
from fedrec.ranking.score_parts import ScoreParts
from fedrec.ranking.speaking import likeness
from fedrec.users import UserBatch

BEHAVIOUR, POPULARITY = "behaviour", "popularity"
NOTES, PHOTOS = "notes", "photos"
_WORDS = {
    "text": "its text",
    "image": "its picture",
    "attributes": "its attributes",
    "audio": "its sound",
    "video": "its video",
    "id": "what was learned of it alone",
    BEHAVIOUR: "what is liked together with it",
    POPULARITY: "its popularity",
    NOTES: "what you wrote",
    PHOTOS: "what you photographed",
}
SMALLEST_TOLD = 0.1


@dataclass(frozen=True)
class Explanation:
    """Why one item is recommended.

    ``item``: its place; ``id``, ``title``: its names; ``score``: its final score. ``shares``: modality, ``behaviour``
    or ``popularity``, and ``notes`` or ``photos`` where what the user made counts by itself -> its part in the score,
    each 0 or above, together 1. ``nearest``: place of the item of the
    history most like it, or None without a history. ``reason``: one line for people.
    """

    item: int
    id: str
    title: str
    score: float
    shares: Mapping[str, float]
    nearest: int | None
    reason: str


def explain(
    scorer: Scorer,
    known: UserBatch,
    items: Sequence[int] | NDArray[np.integer],
    parts: ScoreParts | None = None,
) -> list[Explanation]:
    """Explain some items to one user.

    Args:
        scorer: what ranked them.
        known: of exactly one user.
        items: places in the catalogue.
        parts: what `Scorer.parts_of` gives of the user, where it is at hand; None: it is asked again.

    Raises:
        ModelError: not one user, or a place beyond the catalogue.
    """
    places = np.asarray(items, dtype=np.int64).reshape(-1)
    if len(known) != 1:
        raise ModelError("an explanation is for one user", value=len(known), action="Take one user of the block")
    if len(places) and (places.min() < 0 or places.max() >= scorer.items):
        raise ModelError(f"there are {scorer.items} items to explain", value=places.tolist())
    score, shares = _shares(scorer, known, places, scorer.parts_of(known) if parts is None else parts)
    met, like = likeness(scorer, known.histories, places)
    nearest = _nearest(met, like)
    features = scorer.features
    return [
        Explanation(
            item=int(place),
            id=features.ids[place],
            title=features.titles[place],
            score=float(score[i]),
            shares={name: float(part[i]) for name, part in shares.items()},
            nearest=nearest[i],
            reason=_reason({name: float(part[i]) for name, part in shares.items()}, _name(scorer, nearest[i]), known),
        )
        for i, place in enumerate(places)
    ]


def _shares(
    scorer: Scorer, known: UserBatch, places: NDArray[np.int64], parts: ScoreParts
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float64]]]:
    """Final scores of the places, and each part's share of what speaks for them."""
    tower = parts.tower[0, places]
    modalities = () if scorer.tower is None else scorer.tower.modalities
    scale = np.float32(1) if parts.scale is None else parts.scale[0, 0]
    losses = {name: tower - scale * scorer.tower_part(known, without=name)[0, places] for name in modalities}
    # Behaviour may speak twice: through the tower that reads it, and by its own score.
    losses[BEHAVIOUR] = losses.get(BEHAVIOUR, np.float32(0)) + parts.behaviour[0, places]
    losses[POPULARITY] = parts.popularity[0, places]
    for name, own, made in ((NOTES, parts.notes, known.notes), (PHOTOS, parts.photos, known.photos)):
        if own is not None and made is not None and len(made.values):
            losses[name] = own[0, places]
    lost = np.stack([part.astype(np.float64) for part in losses.values()])
    gains = np.maximum(lost, 0.0)
    # Where nothing speaks for an item (the end of a list), tell what moved it most, and evenly where nothing did.
    gains = np.where(gains.sum(axis=0) > 0, gains, np.abs(lost))
    gains = np.where(gains.sum(axis=0) > 0, gains, 1.0)
    gains /= gains.sum(axis=0)
    return parts.total[0, places], dict(zip(losses, gains, strict=True))


def _nearest(met: NDArray[np.int64], like: NDArray[np.float64]) -> list[int | None]:
    """For each place the item of the history most like it, itself left out; the later one of equals."""
    if not len(met):
        return [None] * len(like)
    best = like.argmax(axis=1)
    return [int(met[b]) if like[i, b] > -np.inf else None for i, b in enumerate(best)]


def _reason(shares: Mapping[str, float], nearest: str | None, known: UserBatch) -> str:
    """Such as: Because you liked Alien: mostly its picture (54%) and its text (31%)."""
    told = sorted(shares.items(), key=lambda part: (-part[1], part[0]))
    told = [part for place, part in enumerate(told[:2]) if place == 0 or part[1] >= SMALLEST_TOLD]
    named = [f"{_WORDS.get(name, 'its ' + name)} ({share:.0%})" for name, share in told]
    return f"{_opening(nearest, known)}: mostly {' and '.join(named)}."


def _opening(nearest: str | None, known: UserBatch) -> str:
    if nearest is not None:
        return f"Because you liked {nearest}"
    sources = (("wrote", known.notes), ("photographed", known.photos))
    own = [verb for verb, part in sources if part is not None and len(part.values)]
    return f"Because of what you {' and '.join(own)}" if own else "Without knowing you yet"


def _name(scorer: Scorer, place: int | None) -> str | None:
    if place is None:
        return None
    return scorer.features.titles[place] or scorer.features.ids[place]
