"""What a run knows so far: public facts, and what was made of noisy sums. Nothing here was seen before its noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative import item_tables, low_rank
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.combined_steps import StepSum, combined_steps
from fedrec.collaborative.content_kernel import check_prior, content_factors
from fedrec.collaborative.denoising import Denoising
from fedrec.collaborative.modality_weights import weighed_by_sum
from fedrec.collaborative.power_iteration import Expected, PowerIterationResult, ProjectionDirections, completed, first
from fedrec.collaborative.reading import PaidSums, read
from fedrec.collaborative.tall import TallTable
from fedrec.config import CollaborativeSettings, Config
from fedrec.content.feature_table import Features
from fedrec.queries import chosen
from fedrec.queries.early_stopping import EarlyStopping
from fedrec.queries.optimisers import Optimiser
from fedrec.queries.request import Scalars

if TYPE_CHECKING:
    from fedrec.model.recommender import Recommender

Floats = NDArray[np.float64]
TOWER: Final = "tower"


@dataclass(eq=False)
class PowerIteration:
    """Where private power iteration stands: what content leads to expect, and the directions that are asked next."""

    expected: Expected
    content: TallTable
    directions: ProjectionDirections
    denoising: Denoising = "items"
    combine: bool = False
    weighed: bool = False
    steps: list[StepSum] = field(default_factory=list)

    def weigh(self, vector: Floats, sigma: float, state: RunState) -> None:
        """Weigh the modalities of the content by a step's noisy sum, where the settings ask for it, at the first."""
        prior = state.config.collaborative.prior
        if self.weighed or not prior.weighed_by_sums:
            return
        self.weighed = True
        counts, mass = state.collaborative.popularity.astype(np.float64), self.expected.mass
        changed = weighed_by_sum(vector, self.directions, mass, counts, state.features, prior, sigma)
        if changed is not prior:
            self.content = content_factors(state.features, changed)
            self.expected = Expected.of(mass, counts, self.content)

    def found(self, vector: Floats, sigma: float) -> PowerIterationResult:
        """What a step found, from its noisy sum [items * r] with noise of deviation ``sigma``; where ``combine`` is
        set and there is noise, together with all steps before it."""
        step = StepSum(self.directions, vector.reshape(self.directions.vectors.shape), sigma)
        if self.combine and sigma > 0:
            self.steps.append(step)
            step = step if len(self.steps) == 1 else combined_steps(self.steps)
        return completed(step.opened, step.asked, self.expected, step.sigma, self.denoising)


@dataclass(eq=False)
class TrainingState:
    """Where training stands after ``done`` rounds: parameters [P], the optimiser's moments, and the next round's clip.

    ``weights``: of all items, where the pool of negatives is drawn by popularity; else None.
    """

    values: Floats
    optimiser: Optimiser
    clip: float
    weights: NDArray[np.int32] | None
    done: int = 0


@dataclass(eq=False)
class RunState:
    """Everything that queries read and change; one for a run, on the server.

    Args:
        config: the settings; ``settled`` has them with what was chosen, before with the default candidate.
        features: of the catalogue.
        users, devices: how many there are.
        share: the expected share of the devices in a sampled round.
        pinned: gives an array back as the run began with it, whatever it is given later (`ServerState.pinned`).

    Raises:
        ConfigError: the settings do not fit the content.
    """

    config: Config
    features: Features
    users: int
    devices: int
    share: float = 1.0
    pinned: Callable[[str, NDArray[np.float32]], NDArray[np.float32]] = lambda name, array: array
    results: dict[str, Any] = field(default_factory=dict)
    popularity_deviation: float = 0.0
    item_ratings: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        items = len(self.features)
        self.chosen = self.config.collaborative.selection.default
        self.settled = self.config.by_default
        self.sums = PaidSums(np.zeros(items))
        self.collaborative = CollaborativeFactors.empty(items)
        self.tables: dict[str, NDArray[Any]] = item_tables.none(self.config, items)
        self.read = item_tables.extended(self.config, self.features, self.tables)
        self.model: Recommender | None = first_model(self.config, self.read)
        self.stopping = EarlyStopping(self.config.training)
        self.frozen = np.zeros(0, np.float32)
        self._power_iteration: PowerIteration | None = None
        self._training: TrainingState | None = None
        public = without_tower(self.config.collaborative)
        if public.prior.modalities and (public.has_prior or self.config.collaborative.power_iteration.enabled):
            check_prior(self.features, public.prior.modalities)

    @property
    def power_iteration(self) -> PowerIteration:
        """Begun, where it was not yet, with the directions of the content kernel."""
        if self._power_iteration is None:
            settings = self.config.collaborative
            counts = self.collaborative.popularity.astype(np.float64)
            mass = low_rank.mass_of(counts, self.users)
            # Before it is trained the tower is public content too, seen through heads that were fitted to it.
            known = self._with_tower() if TOWER in settings.prior.modalities else self.features
            content = content_factors(known, settings.prior)
            expected = Expected.of(mass, counts, content)
            iteration = settings.power_iteration
            begun = first(expected, iteration.rank, iteration.whitening, iteration.item_weighting)
            self._power_iteration = PowerIteration(
                expected, content, begun, iteration.denoising, iteration.combine_steps
            )
        return self._power_iteration

    @property
    def training(self) -> TrainingState:
        """Where training stands. Raises RuntimeError before `open_training`, or without a tower."""
        if self._training is None:
            raise RuntimeError("training has not begun, or there is no tower to train")
        return self._training

    def read_sums(self) -> None:
        """Read the sums paid for so far, with the prior of public content: the tower has learned nothing yet."""
        settings = self.settled.collaborative
        # What power iteration found is joined with the kernel that it began with.
        settings = settings if settings.power_iteration.enabled else without_tower(settings)
        self.collaborative = read(self.sums, settings, self.features)

    def settle(self, candidate: str) -> None:
        """Go on with the settings of a candidate, and read the sums as it does."""
        self.chosen, self.settled = candidate, self.config.choosing(candidate)
        self.read_sums()

    def told(self) -> Scalars:
        """What requests about the finished model say of what was chosen."""
        return chosen.told(self.config, self.chosen)

    def open_training(self) -> None:
        """Extend what the tower reads by what the sums say of the items, and make the model that training starts from.

        A model that reads such tables starts from them.
        """
        if item_tables.names(self.config):
            self.tables = item_tables.tables_of(self.config, self.collaborative, self.popularity_deviation)
            self.read = item_tables.extended(self.config, self.features, self.tables)
            self.model = first_model(self.config, self.read)
        if self.model is None:
            return
        from fedrec.model import parameters
        from fedrec.queries import negatives

        settings = self.config.training
        optimiser = Optimiser(settings.optimiser, settings.learning_rate, settings.momentum)
        by_use = settings.pool == "popularity"
        weights = negatives.weights_of(self.collaborative.popularity, settings.pool_power) if by_use else None
        values = parameters.flatten(self.model).astype(np.float64)
        # They come out of a decomposition, whose last digits and signs may differ from one machine to the next.
        self.frozen = self.pinned("frozen", parameters.flatten_frozen(self.model))
        parameters.unflatten_frozen(self.model, self.frozen)
        self._training = TrainingState(values, optimiser, self.config.privacy.clip, weights)

    def set_parameters(self, values: Floats) -> None:
        """Give the model these trained parameters [P]."""
        if self.model is not None:
            from fedrec.model import parameters

            parameters.unflatten(self.model, values)

    def conclude_training(self, *, whole: bool) -> None:
        """Take the best parameters by validation; read the sums again where the prior is to know what it learned.

        ``whole``: whether the budget lasted; else parameters stay as the last round left them.
        """
        if whole and self._training is not None:
            best = self.stopping.values if self.stopping.best is not None else self.training.values
            self.set_parameters(best)
        settings = self.settled.collaborative
        if self.model is not None and TOWER in settings.prior.modalities:
            learned = self._with_tower()
            self.sums = self.sums.with_content(learned, settings.prior)
            self.collaborative = read(self.sums, settings, learned)

    def _with_tower(self) -> Features:
        """The features with the tower's item vectors [items, dimension], as they are now, as the modality ``tower``.

        Raises RuntimeError without a tower, which the settings refuse.
        """
        if self.model is None:
            raise RuntimeError("a prior of the tower's item vectors, and there is no tower")
        from fedrec.ranking.tower import TowerScorer

        vectors = TowerScorer(self.model, self.read, history=1).vectors().numpy()
        values, present = self.features.values, self.features.present
        there = {**present, TOWER: np.asarray(vectors.any(axis=1))}
        return replace(self.features, values={**values, TOWER: vectors}, present=there)

    def released(self) -> CollaborativeFactors:
        """The collaborative factors as a release has them: with the items' ratings, where these were asked for."""
        return replace(self.collaborative, ratings=self.item_ratings)

    def carried(self) -> dict[str, NDArray[Any]]:
        """What the model is beside its trained parameters: tables, and parts that are not trained."""
        return {**self.tables, **({"frozen": self.frozen} if len(self.frozen) else {})}

    def scored_with(self) -> Mapping[str, NDArray[Any]]:
        """What a device ranks with: collaborative factors and, where there is a tower, all of the model."""
        return {**self.collaborative.arrays(), **self.tower_arrays()}

    def tower_arrays(self) -> dict[str, NDArray[Any]]:
        """All of the model, where there is a tower."""
        if self.model is None:
            return {}
        from fedrec.model import parameters

        return {**parameters.broadcast(self.model), **self.tables}


def first_model(config: Config, features: Features) -> Recommender | None:
    """The model of round 0, its heads fitted to public content, which costs no privacy; None where none is wanted."""
    if not config.model.tower:
        return None
    from fedrec.model.build import build_model
    from fedrec.model.warm_start import fit_heads

    model = build_model(config, features)
    if config.model.warm_start is not None:
        fit_heads(model, features.values, features.present, evenness=config.model.warm_start)
    return model


def without_tower(settings: CollaborativeSettings) -> CollaborativeSettings:
    """The settings with a prior of public content alone; without one, where the tower is all there is.

    Before training there is no tower to speak of, so factors are first solved with the rest of the prior.
    """
    prior = settings.prior
    if TOWER not in prior.modalities:
        return settings
    rest = {name: weight for name, weight in prior.modalities.items() if name != TOWER}
    changed = prior.model_copy(update={"modalities": rest, "weight": prior.weight if rest else 0.0})
    return settings.model_copy(update={"prior": changed})
