"""What a device answers: from a request and its own users to a bounded contribution, and nothing else.

`QueryHandler` is the same on a phone (one user), in a silo (many) and in a simulated cohort (thousands): it sums over
the rows of the population it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative import item_tables
from fedrec.collaborative import power_iteration as factors
from fedrec.collaborative.collaborative_factors import ARRAYS, FACTORS, CollaborativeFactors
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import PrivacyError, ProtocolError
from fedrec.model.clock import UNKNOWN, context_of
from fedrec.privacy.run_plan import is_local
from fedrec.queries import adaptive_clip as clip_rate
from fedrec.queries import model_update, validation
from fedrec.queries.device import contributions as signals
from fedrec.queries.device.private_metrics import metric_contribution, validation_contribution
from fedrec.queries.request import Request
from fedrec.ranking.users import Histories, Known, OwnContent
from fedrec.training.population import Pieces, Population, check

if TYPE_CHECKING:
    from fedrec.model.recommender import Recommender
    from fedrec.ranking.score import Scorer
    from fedrec.training.learner import Learner, Update
    from fedrec.training.local import LocalLearner
    from fedrec.training.local_noise import LocalNoise


class QueryHandler:
    """Answers requests about a catalogue under a config; holds no user's data between calls.

    Args:
        config: the run's settings as this device accepted them. What a request asks for beyond them is refused.
        features: the catalogue's features.
    """

    def __init__(self, config: Config, features: Features) -> None:
        self.config = config
        self.features = features
        self._learner: Learner | None = None
        self._local: LocalLearner | None = None
        self._scorer: tuple[bytes, Scorer] | None = None
        self._read: tuple[bytes, Features] | None = None
        self.last_update: Update | None = None

    def rows(self, request: Request, population: Population) -> int:
        """The rows that an answer of this population holds at most."""
        if request.query == "training" and is_local(self.config):
            return 1
        groups = self.config.training.examples if self.config.privacy.unit == "example" else 1
        return max(1, len(population)) * (groups if request.query == "training" else 1)

    def answer(self, request: Request, population: Population) -> NDArray[np.float64]:
        """The contribution, float64 [request.sum.length], each row within the agreed bound.

        A population that has nothing to say answers with zeros, as long as anybody's answer.

        Raises:
            ProtocolError: the request lacks what its query needs, or agrees on another bound than the config's.
            ModelError: its arrays do not fit the model.
        """
        check(population, len(self.features.ids))
        if request.query == "popularity":
            ramp = self.config.collaborative.short_history_weighting
            return signals.popularity(population, len(self.features.ids), request.sum.bound, ramp)
        if request.query == "cooccurrence":
            return self._cooccurrence(request, population)
        if request.query in ("directions", "factors"):
            return self._factors(request, population)
        if request.query == "training":
            return self._training(request, population)
        if request.query == "validation":
            return self._validation(request, population)
        return self._metrics(request, population)

    def _cooccurrence(self, request: Request, population: Population) -> NDArray[np.float64]:
        items = _array(request.arrays, "items").astype(np.int64)
        catalogue = len(self.features.ids)
        if not (len(items) and items.min() >= 0 and items.max() < catalogue and (np.diff(items) > 0).all()):
            raise ProtocolError("co-occurrence is asked over items that are not places of the catalogue, ascending")
        return signals.cooccurrence(
            population,
            items,
            catalogue,
            normalise=self.config.collaborative.cooccurrence.normalise,
            bound=request.sum.bound,
            ramp=self.config.collaborative.short_history_weighting,
        )

    def _factors(self, request: Request, population: Population) -> NDArray[np.float64]:
        centre, vectors = _array(request.arrays, factors.CENTRE), request.arrays[factors.VECTORS]
        catalogue = len(self.features.ids)
        if centre.shape != (catalogue,) or vectors.ndim != 2 or len(vectors) != catalogue:
            raise ProtocolError("directions are not over this catalogue", value=(centre.shape, vectors.shape))
        if not (np.isfinite(centre).all() and np.isfinite(vectors).all()):
            raise ProtocolError("directions hold numbers that are not finite", value=request.query)
        told = request.arrays.get(factors.WEIGHTS)
        weights = None if told is None else told.astype(np.float64)
        if weights is not None and not (weights.shape == (catalogue,) and ((weights > 0) & (weights <= 100)).all()):
            raise ProtocolError("weights of items are above 0 and at most 100, one an item", value=request.query)
        centre, vectors = centre.astype(np.float64), vectors.astype(np.float64)
        return signals.factors(population, centre, vectors, request.sum.bound, weights)

    def turn(self, request: Request, device: Population, noise: LocalNoise) -> NDArray[np.float64]:
        """The contribution to a model update of one device that adds all noise itself, as one row within its bound.

        A device without interactions contributes noise alone, so that nobody can tell.  Raises as `answer` does.
        """
        check(device, len(self.features.ids))
        values, pool, _ = self._asked(request)
        learner = self.local_learner()
        _freeze(learner.model, request)
        update = learner.update(device, values, pool, request.round, noise, self._inclusion(request))
        self.last_update = update
        return update.gradient

    def _training(self, request: Request, population: Population) -> NDArray[np.float64]:
        if is_local(self.config):
            raise PrivacyError("a device that adds all noise itself takes turns", action="Use QueryHandler.turn")
        adaptive = self.config.privacy.adaptive_clip
        values, pool, clip = self._asked(request)
        learner = self.learner()
        _freeze(learner.model, request)
        update = learner.update(population, values, pool, request.round, clip, self._inclusion(request))
        self.last_update = update
        if adaptive is None:
            return update.gradient
        return np.append(update.gradient, clip_rate.bits(update.rows - update.clipped, update.clipped, clip, adaptive))

    def _asked(self, request: Request) -> tuple[NDArray[np.float32], NDArray[np.int32], float]:
        """The parameters, the pool and the clip of a round, held to what was agreed."""
        clip = clip_rate.agreed_clip(request.settings.get(clip_rate.CLIP), request.round, self.config.privacy)
        if request.sum.bound != model_update.bound_of(self.config, clip):
            raise ProtocolError(
                "a model update is asked with another bound than this device agreed to", value=request.sum.bound
            )
        self._extend(request)
        pool = _array(request.arrays, "pool").astype(np.int32)
        if not (len(pool) and pool.min() >= 0 and pool.max() < len(self.features.ids)):
            raise ProtocolError("the pool of negatives is not of this catalogue", value=pool.shape)
        return _array(request.arrays, "parameters").astype(np.float32), pool, clip

    def _inclusion(self, request: Request) -> NDArray[np.float32] | None:
        return model_update.log_inclusion(self.config, request, len(self.features.ids))

    @property
    def read(self) -> Features:
        """The features as the model of the last request reads them."""
        return self.features if self._read is None else self._read[1]

    def _extend(self, request: Request) -> None:
        """Read features as the request's tables extend them; what was built to read other ones is dropped."""
        tables = item_tables.agreed(self.config, request.arrays, len(self.features.ids))
        digest = _digest(tables)
        if self._read is None or self._read[0] != digest:
            self._read = (digest, item_tables.extended(self.config, self.features, tables))
            self._learner = self._local = None

    def learner(self) -> Learner:
        """What clips rows of model updates; built when it is first needed."""
        if self._learner is None:
            # Here, since torch takes seconds to import, and counts are asked for more often than models are trained.
            from fedrec.training.learner import Learner

            self._learner = Learner(self.config, self.read)
        return self._learner

    def local_learner(self) -> LocalLearner:
        """What takes a device's own noisy steps; built when it is first needed."""
        if self._local is None:
            from fedrec.training.local import LocalLearner

            self._local = LocalLearner(self.config, self.read)
        return self._local

    def _metrics(self, request: Request, population: Population) -> NDArray[np.float64]:
        scorer = self._scorer_for(request.arrays)
        training = Histories(population.indptr, population.items)
        total = np.zeros(request.sum.length)
        for users, scores in scorer.blocks(known_of(population, self.config.model.history)):
            total += metric_contribution(scores, training.take(users), population.held_out[users]).sum(axis=0)
        return total

    def _validation(self, request: Request, population: Population) -> NDArray[np.float64]:
        _array(request.arrays, "parameters")
        scorer = self._scorer_for(request.arrays)
        from fedrec.ranking.score import USER_BLOCK

        if scorer.tower is None:
            raise ProtocolError("validation is asked of a model without a tower", value=request.round)
        against = validation.pool(self.config, len(self.features.ids))
        known, total = known_of(population, self.config.model.history), np.zeros(request.sum.length)
        for start in range(0, len(population), USER_BLOCK):
            users = np.arange(start, min(start + USER_BLOCK, len(population)))
            block = known.take(users)
            scores = scorer.tower.scores(block)
            total += validation_contribution(scores, block.histories, population.held_out[users], against).sum(axis=0)
        return total * request.sum.element_bound

    def _scorer_for(self, arrays: Mapping[str, NDArray[Any]]) -> Scorer:
        """The scorer of the last broadcast, kept: one process may answer for thousands of simulated devices."""
        digest = _digest(arrays)
        if self._scorer is None or self._scorer[0] != digest:
            self._scorer = (digest, make_scorer(self.config, self.features, arrays))
        return self._scorer[1]


def make_scorer(config: Config, features: Features, arrays: Mapping[str, NDArray[Any]]) -> Scorer:
    """The scorer for broadcast parameters and collaborative factors; a part that ``arrays`` lacks counts nothing."""
    from fedrec.model import parameters
    from fedrec.model.build import build_model
    from fedrec.ranking.score import Scorer

    model = None
    if "parameters" in arrays:
        tables = item_tables.agreed(config, arrays, len(features.ids))
        features = item_tables.extended(config, features, tables)
        model = build_model(config, features)
        parameters.receive(model, arrays)
    table = {name: arrays[name] for name in (*ARRAYS, FACTORS) if name in arrays}
    factors = CollaborativeFactors.from_arrays(table) if set(ARRAYS) <= set(table) else None
    return Scorer(
        model=model,
        features=features,
        collaborative=factors,
        settings=config.collaborative,
        model_settings=config.model,
    )


def known_of(population: Population, last: int) -> Known:
    """A population as what a scorer is told; ``last``: how many events of a history the tower reads."""
    context = None
    if population.times is not None:
        nobody = np.full(len(population), UNKNOWN, np.int64)  # when the held-out item was met is held out, too
        context = context_of(nobody, population.indptr, population.times, last)

    def contents(pieces: Pieces | None) -> OwnContent | None:
        return None if pieces is None else OwnContent(pieces.indptr, pieces.values)

    return Known(
        histories=Histories(population.indptr, population.items),
        notes=contents(population.notes),
        photos=contents(population.photos),
        context=context,
    )


def _freeze(model: Recommender, request: Request) -> None:
    """Set what of the model is not trained. Raises ModelError where it is of another model."""
    from fedrec.model import parameters

    parameters.unflatten_frozen(model, request.arrays.get("frozen", np.zeros(0, np.float32)))


def _digest(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    return hashlib.sha256(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))).digest()


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in arrays or arrays[name].ndim != 1:
        raise ProtocolError(f"a request lacks its array {name!r}", action="Check that both sides run the same version")
    return arrays[name]
