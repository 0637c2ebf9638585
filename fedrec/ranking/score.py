"""The final score of every item for a user: content tower, behaviour and popularity, each standardised, then mixed.

    score = (1 - w) * z(tower) + w * z(behaviour) + p * z(log popularity)
    behaviour = (1 - f) * z(table) + f * z(fold-in), where there is a fold-in, of weight f

``z`` standardises over the catalogue for one user (0 everywhere where the spread is 0), so that the weights mean the
same for every user and model. w is `ScoringSettings.weight` and p its ``popularity_weight``. A part that is not there
counts 0. With `ScoringSettings.evidence` this score, popularity, and the user's own notes and photos weigh by how much
each tells of the user, see `fedrec.ranking.evidence`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.errors import ModelError
from fedrec.ranking.score_parts import ScoreParts
from fedrec.ranking.standardise import log_popularity, standardised
from fedrec.release.contents import FeatureTable
from fedrec.users import Histories, OwnContent, UserBatch

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from fedrec.config import CollaborativeSettings, ModelSettings
    from fedrec.model.recommender import Recommender
    from fedrec.ranking.fold_in import FoldIn
    from fedrec.ranking.tower import TowerScorer
    from fedrec.ranking.weighed import EvidenceWeighing

# A device starts anew for each list.  So torch is loaded where there is a tower, and SciPy for many users or a fold-in.
Floats32 = NDArray[np.float32]
Lists = Histories | Sequence[NDArray[np.integer]]
USER_BLOCK = 256
# Of one part's scores of a block of users: with all its parts a block takes about ten times as much.
_BLOCK_BYTES: Final = 64 << 20


def users_at_once(items: int) -> int:
    """How many users are scored together: `USER_BLOCK`, or fewer, one at least, of a catalogue of above 65,536 items.

    So memory for scores has a bound that does not grow with items until one user's scores alone exceed it.
    """
    return max(1, min(USER_BLOCK, _BLOCK_BYTES // (4 * max(items, 1))))


class SharedParts:
    """Parts of the scores of the users that were scored last, for readings that have them in common.

    A part is named by what it is made of: the table by its identity, so whoever scores keeps it alive.
    """

    def __init__(self) -> None:
        self._known: UserBatch | None = None
        self._parts: dict[tuple[Hashable, ...], Floats32] = {}

    def part(self, name: tuple[Hashable, ...], known: UserBatch, make: Callable[[], Floats32]) -> Floats32:
        """The part of this name, made now if it was not yet; parts of other users are forgotten."""
        if known is not self._known:
            self._known, self._parts = known, {}
        if name not in self._parts:
            self._parts[name] = make()
        return self._parts[name]


class Scorer:
    """Scores the whole catalogue for users, from what is in a release. Item vectors are computed once, here.

    Args:
        model: the content tower, or None where there is none. It is only read.
        features: the catalogue's features; every place is a place in them.
        collaborative: the collaborative factors, or None.
        settings: the weights of the parts.
        model_settings: how long a history the tower reads.

    Raises:
        ModelError: features and collaborative factors are about different catalogues, or do not fit the model.
    """

    def __init__(
        self,
        *,
        model: Recommender | None,
        features: FeatureTable,
        collaborative: CollaborativeFactors | None,
        settings: CollaborativeSettings,
        model_settings: ModelSettings,
    ) -> None:
        self.features = features
        self.items = len(features.ids)
        if collaborative is not None and collaborative.items != self.items:
            raise ModelError(
                f"the collaborative factors are about {collaborative.items} items and the features about {self.items}",
                action="Take both from one release",
            )
        self.collaborative = collaborative
        self.settings = settings
        self.tower = None if model is None else _tower(model, features, model_settings)
        self.fold_in = _fold_in(collaborative, settings)
        self._model_settings = model_settings
        self.weighing: EvidenceWeighing | None = None
        self.weighing = self._evidence()
        self._shared: SharedParts | None = None

    def read_as(
        self, collaborative: CollaborativeFactors | None, settings: CollaborativeSettings, shared: SharedParts
    ) -> Scorer:
        """The same tower beside other factors of the catalogue, and with other weights.

        ``shared``: keeps parts that readings have in common, of the users scored last.
        """
        other = copy.copy(self)
        other.collaborative, other.settings, other._shared = collaborative, settings, shared
        other.fold_in = _fold_in(collaborative, settings)
        other.weighing = other._evidence()
        return other

    def scores(
        self,
        histories: Lists,
        notes: OwnContent | None = None,
        photos: OwnContent | None = None,
        adapter: Floats32 | None = None,
    ) -> Floats32:
        """Final scores of a block of users, float32 [users, items]; higher is better. What was seen is scored too.

        Args:
            histories: the items of each user in time order. The tower reads the last ``model.history`` of them,
                behaviour reads all, each once.
            notes: each user's encoded notes (values [n, ...] as the modality ``text``), or None.
            photos: each user's encoded photos (as the modality ``image``), or None.
            adapter: float32 [users, dimension], each user's private vector, or None.

        Raises:
            ModelError: parts about different numbers of users, an item beyond the catalogue, or own content or an
                adapter that does not fit the model.
        """
        return self.parts(histories, notes, photos, adapter).total

    def parts(
        self,
        histories: Lists,
        notes: OwnContent | None = None,
        photos: OwnContent | None = None,
        adapter: Floats32 | None = None,
    ) -> ScoreParts:
        """The same as `scores`, as what each part adds."""
        lists = histories if isinstance(histories, Histories) else Histories.of(histories)
        return self.parts_of(UserBatch(histories=lists, notes=notes, photos=photos, adapter=adapter))

    def blocks(
        self, known: UserBatch, *, users: NDArray[np.integer] | None = None, size: int | None = None
    ) -> Iterator[tuple[NDArray[np.int64], Floats32]]:
        """Score users ``size`` at a time: places [block] and scores [block, items], what `protocols.evaluate` takes.

        Args:
            known: a population.
            users: places of those that are scored; None = all.
            size: memory is so many times the catalogue; None = `users_at_once`.
        """
        chosen = np.arange(len(known)) if users is None else np.asarray(users, dtype=np.int64)
        step = users_at_once(self.items) if size is None else size
        for start in range(0, len(chosen), step):
            places = chosen[start : start + step]
            yield places, self.parts_of(known.take(places)).total

    def parts_of(self, known: UserBatch) -> ScoreParts:
        """The same as `parts`."""
        known.histories.check(self.items)
        parts = ScoreParts(
            tower=self.tower_part(known), behaviour=self._behaviour_part(known), popularity=self._popularity_part(known)
        )
        return parts if self.weighing is None else self.weighing(known, parts)

    def tower_part(self, known: UserBatch, *, without: str = "") -> Floats32:
        """What the tower adds; with ``without``, as if it did not know that modality."""
        tower = self.tower
        if tower is None or self.settings.scoring.weight == 1 or not self.settings.scoring.personal:
            return self._nothing(known)
        scores = self._once(("tower", without), known, lambda: standardised(tower.scores(known, without=without)))
        return np.float32(1.0 - self.settings.scoring.weight) * scores

    def _behaviour_part(self, known: UserBatch) -> Floats32:
        table, scoring = self.collaborative, self.settings.scoring
        if table is None or table.rank == 0 or scoring.weight == 0 or not scoring.personal:
            return self._nothing(known)
        scores = self._once(
            ("table", id(table), scoring.recency),
            known,
            lambda: standardised(behaviour_scores(table, known.histories, recency=scoring.recency)),
        )
        if (second := self.fold_in) is not None:
            share = np.float32(second.settings.weight)
            folded = self._once(
                ("fold-in", id(table.factors), second.settings.unknown, second.settings.ridge, scoring.recency),
                known,
                lambda: standardised(second.scores(touched(known.histories, self.items, recency=scoring.recency))),
            )
            scores = standardised((1 - share) * scores + share * folded)
        return np.float32(self.settings.scoring.weight) * scores

    def _popularity_part(self, known: UserBatch) -> Floats32:
        if self.collaborative is None or self.settings.scoring.popularity_weight == 0:
            return self._nothing(known)
        once = standardised(log_popularity(self.collaborative.popularity)[None])
        return self._nothing(known) + np.float32(self.settings.scoring.popularity_weight) * once

    def _evidence(self) -> EvidenceWeighing | None:
        scoring, table, model = self.settings.scoring, self.collaborative, self._model_settings
        if not scoring.evidence or not scoring.personal:
            return None
        from fedrec.ranking.weighed import EvidenceWeighing

        tower = self.tower is not None and scoring.weight < 1
        return EvidenceWeighing.of(
            self.features,
            table,
            reads_events=tower or (table is not None and table.rank > 0 and scoring.weight > 0),
            reads_notes=tower and model.notes,
            reads_photos=tower and model.photos,
            like=self.weighing,
        )

    def _once(self, name: tuple[Hashable, ...], known: UserBatch, make: Callable[[], Floats32]) -> Floats32:
        """A part that other readings may have in common with this one."""
        return make() if self._shared is None else self._shared.part(name, known, make)

    def _nothing(self, known: UserBatch) -> Floats32:
        return np.zeros((len(known), self.items), dtype=np.float32)


def behaviour_scores(table: CollaborativeFactors, histories: Histories, *, recency: float = 0.0) -> Floats32:
    """Sum over a user's items j of c_j ``history[j] . candidate[i]``, c_j as in `touched`: float32 [users, items]."""
    if len(histories) == 1:
        _, columns, weights = _touched(histories, table.items, recency)
        users = np.add.reduce(weights[:, None] * table.history[columns], axis=0)[None]
    else:
        users = np.asarray(touched(histories, table.items, recency=recency) @ table.history, dtype=np.float32)
    return np.asarray(users @ table.candidate.T)


def touched(histories: Histories, items: int, *, recency: float = 0.0) -> csr_matrix:
    """What users touched, float32 [users, items]: (1 + a)^-recency where a of the user's events came later, else 0.

    An item touched twice counts once, as of its last touch, because the co-occurrence was counted over distinct items.
    """
    from scipy.sparse import csr_matrix

    rows, columns, weights = _touched(histories, items, recency)
    return csr_matrix((weights, (rows, columns)), shape=(len(histories), items))


def _touched(histories: Histories, items: int, recency: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats32]:
    """The entries of `touched`, by user and item: users, items and c_j."""
    weights = (1.0 + histories.ages()) ** -recency
    rows, columns = histories.owners, histories.items.astype(np.int64)
    # Of the entries of one user and item the last is kept: the first to be seen from the end.
    _, last = np.unique((rows * items + columns)[::-1], return_index=True)
    kept = len(columns) - 1 - last
    return rows[kept], columns[kept], weights[kept].astype(np.float32)


def _tower(model: Recommender, features: FeatureTable, settings: ModelSettings) -> TowerScorer:
    from fedrec.ranking.tower import TowerScorer

    return TowerScorer(model, features, history=settings.history)


def _fold_in(collaborative: CollaborativeFactors | None, settings: CollaborativeSettings) -> FoldIn | None:
    if settings.fold_in is None or collaborative is None or collaborative.factors is None:
        return None
    from fedrec.ranking.fold_in import FoldIn

    return FoldIn(collaborative.factors, settings.fold_in)
