"""A score weighed by evidence: the configured score, popularity, and the user's own notes and photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.ranking.evidence import StandardisedParts, own_known, taste_known
from fedrec.ranking.own_taste import OwnTaste
from fedrec.ranking.score_parts import ScoreParts
from fedrec.ranking.standardise import log_popularity, standardised
from fedrec.release.contents import FeatureTable
from fedrec.users import OwnContent, UserBatch

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EvidenceWeighing:
    """Weighs parts for users, see `fedrec.ranking.evidence`.

    Args:
        notes, photos: score by what users made, None where the catalogue has nothing to liken it to.
        popularity: float32 [items], 0 or more; all 0 where it is not known.
        reads_events: whether anything in the configured score follows from a user's events.
        reads_notes, reads_photos: whether its tower reads them, so that it says something before the first event.
    """

    notes: OwnTaste | None
    photos: OwnTaste | None
    popularity: Floats32
    reads_events: bool
    reads_notes: bool
    reads_photos: bool

    @classmethod
    def of(
        cls,
        features: FeatureTable,
        collaborative: CollaborativeFactors | None,
        *,
        reads_events: bool,
        reads_notes: bool,
        reads_photos: bool,
        like: EvidenceWeighing | None = None,
    ) -> EvidenceWeighing:
        """What a catalogue and a release's factors give to weigh with.

        ``like``: of the same catalogue, so that its items need not be prepared again.
        """
        items = len(features.ids)
        return cls(
            notes=_taste(features, "text", collaborative, None if like is None else like.notes),
            photos=_taste(features, "image", collaborative, None if like is None else like.photos),
            popularity=np.zeros(items, dtype=np.float32) if collaborative is None else collaborative.popularity,
            reads_events=reads_events,
            reads_notes=reads_notes,
            reads_photos=reads_photos,
        )

    def __call__(self, known: UserBatch, parts: ScoreParts) -> ScoreParts:
        """The parts of the configured score, weighed, with popularity, notes and photos beside them.

        Raises:
            ModelError: own content of another width than the catalogue's features.
        """
        shape = parts.tower.shape
        popular = np.broadcast_to(standardised(log_popularity(self.popularity)[None]), shape)
        own = {"notes": self._own(self.notes, known.notes), "photos": self._own(self.photos, known.photos)}
        told = {name: one for name, one in own.items() if one is not None}
        evidence = StandardisedParts([parts.total, popular, *(scores for scores, _ in told.values())], known.histories)
        expected = np.stack(
            [
                self._taste(evidence, known),
                evidence.held_to_history(1, evidence.by_popularity(1, self.popularity)),
                *(evidence.held_to_history(2 + at, mu) for at, (_, mu) in enumerate(told.values())),
            ],
            axis=1,
        )
        base, popularity, *others = np.split(evidence.weights(expected), 2 + len(told), axis=1)
        nothing = np.broadcast_to(np.float32(0.0), shape)
        made = {name: weight * told[name][0] for name, weight in zip(told, others, strict=True)}
        return ScoreParts(
            tower=base * parts.tower,
            behaviour=base * parts.behaviour,
            popularity=base * parts.popularity + popularity * popular,
            notes=made.get("notes", nothing),
            photos=made.get("photos", nothing),
            scale=base,
        )

    def _taste(self, evidence: StandardisedParts, known: UserBatch) -> NDArray[np.float64]:
        told = evidence.events if self.reads_events else np.zeros(len(known), dtype=np.int64)
        for reads, own in ((self.reads_notes, known.notes), (self.reads_photos, known.photos)):
            told = told + _pieces(own, len(known)) if reads else told
        return taste_known(told)

    def _own(self, taste: OwnTaste | None, own: OwnContent | None) -> tuple[Floats32, NDArray[np.float64]] | None:
        """Scores [users, items] by what users made, and how much they are supposed to tell [users]; None where nobody
        made anything."""
        if taste is None or own is None or not len(own.values):
            return None
        return taste.scores(own), own_known(_pieces(own, len(own)))


def _taste(
    features: FeatureTable, modality: str, collaborative: CollaborativeFactors | None, like: OwnTaste | None
) -> OwnTaste | None:
    return OwnTaste.of(features, modality, collaborative) if like is None else like.beside(collaborative)


def _pieces(own: OwnContent | None, users: int) -> NDArray[np.int64]:
    return np.zeros(users, dtype=np.int64) if own is None else np.diff(own.indptr)
