"""What ranking by a history needs of a release, as arrays: what every export holds, whatever its format.

Notes, photos and a private vector are not part of it: encoding them takes the release's encoders, and so fedrec. An
export ranks as a device does whose owner has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedrec.client.ranker import Ranker
from fedrec.data.ratings import PositiveRatings
from fedrec.ranking.score import Scorer
from fedrec.ranking.standardise import log_popularity, standardised

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TowerPart:
    """The content tower: ``vectors`` float32 [items, d]; ``user``, which makes a user's vector of the last ``history``
    of them and is called ``kind`` in `fedrec.model.registry`; ``context``, which turns the time of day into an addition
    to it, or None; ``weight`` in the final score."""

    vectors: Floats32
    user: nn.Module
    kind: str
    history: int
    context: nn.Module | None
    weight: float


@dataclass(frozen=True, eq=False)
class TablePart:
    """What is used together: ``history`` and ``candidate`` float32 [items, rank]; ``recency``; ``weight`` in the final
    score, together with the fold-in."""

    history: Floats32
    candidate: Floats32
    recency: float
    weight: float


@dataclass(frozen=True, eq=False)
class FoldInPart:
    """See `fedrec.ranking.fold_in`: ``factors`` float32 [items, k], turned so that their products' sum is the diagonal
    ``spread`` [k]; ``share`` of the behaviour's score."""

    factors: Floats32
    spread: Floats
    unknown: float
    ridge: float
    share: float


@dataclass(frozen=True, eq=False)
class EvidencePart:
    """The score is weighed by evidence (`fedrec.ranking.weighed`). ``popularity``: float32 [items], 0 or more;
    ``popular``: its logarithm, standardised; ``reads_events``: whether the score without it follows from events."""

    popularity: Floats32
    popular: Floats32
    reads_events: bool


@dataclass(frozen=True, eq=False)
class RankingParts:
    """All that ranks by a history. ``popularity``: float32 [items], what it adds, its weight included; ``order``: int64
    [items], of two items with one score the one with the lower entry comes first; ``positive``: which events are
    history, the setting ``data.positive_ratings``."""

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    order: NDArray[np.int64]
    positive: PositiveRatings
    tower: TowerPart | None
    table: TablePart | None
    fold_in: FoldInPart | None
    popularity: Floats32
    evidence: EvidencePart | None

    @property
    def reads_time(self) -> bool:
        """Whether the ranking depends on the time of day."""
        return self.tower is not None and self.tower.context is not None


def parts_of(ranker: Ranker) -> RankingParts:
    """The arrays of a release that was opened."""
    scorer = ranker.scorer
    table = _table(scorer)
    return RankingParts(
        ids=ranker.ids,
        titles=ranker.titles,
        order=ranker.order,
        positive=ranker.positive_ratings,
        tower=_tower(scorer, ranker),
        table=table,
        fold_in=None if table is None else _fold_in(scorer),
        popularity=_popularity(scorer),
        evidence=_evidence(scorer),
    )


def _tower(scorer: Scorer, ranker: Ranker) -> TowerPart | None:
    tower, scoring = scorer.tower, scorer.settings.scoring
    if tower is None or scoring.weight == 1 or not scoring.personal:
        return None
    model = tower.model
    return TowerPart(
        vectors=tower.vectors().numpy(),
        user=model.tower,
        kind=ranker.settings.user_tower,
        history=tower.history,
        context=model.context,
        weight=1.0 - scoring.weight,
    )


def _table(scorer: Scorer) -> TablePart | None:
    table, scoring = scorer.collaborative, scorer.settings.scoring
    if table is None or table.rank == 0 or scoring.weight == 0 or not scoring.personal:
        return None
    return TablePart(table.history, table.candidate, scoring.recency, scoring.weight)


def _fold_in(scorer: Scorer) -> FoldInPart | None:
    found = scorer.fold_in
    if found is None:
        return None
    settings = found.settings
    return FoldInPart(found.factors, found.spread, settings.unknown, settings.ridge, settings.weight)


def _popularity(scorer: Scorer) -> Floats32:
    weight = scorer.settings.scoring.popularity_weight
    if scorer.collaborative is None or weight == 0:
        return np.zeros(scorer.items, dtype=np.float32)
    added: Floats32 = np.float32(weight) * standardised(log_popularity(scorer.collaborative.popularity)[None])[0]
    return added


def _evidence(scorer: Scorer) -> EvidencePart | None:
    weighing = scorer.weighing
    if weighing is None:
        return None
    popular = standardised(log_popularity(weighing.popularity)[None])[0]
    return EvidencePart(weighing.popularity, popular, weighing.reads_events)
