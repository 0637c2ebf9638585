"""Query ``training``: the sum of clipped per-row gradients of the shared parameters, and the step made of it.

*What leaves*: each row (a user, or a group of a user's interactions) adds its gradient, clipped; with an adaptive clip
one element more says whether it was within the clip.  A device that adds all noise itself sends the change of its own
noisy steps instead, as one row.
*What it costs*: a row's L2 norm is at most `bound_of`; one privacy unit moves the sum by no more.  Rounds compose, with
amplification where rows are drawn independently and in secret (`Participation`), noise may hang together (banded).
*Who checks it*: parameters, weights of items and, within reach of the rule, the clip are the server's to say; the pool
of negatives is drawn again by the device, to the last item.
*What is made of it*: the mean gradient over the rows *expected*, a step of the server's optimiser, and the next clip.

The pool is drawn from the whole catalogue.  What a user has in training is left out on the device; nothing else is, the
held-out items of an evaluation least of all: such a leak gives HR@10 = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative import item_tables
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError, ProtocolError, StoreError
from fedrec.privacy.run_plan import is_local, minimum_separation_of, probability_of
from fedrec.queries import adaptive_clip, negatives
from fedrec.queries.cold_items import warm_items
from fedrec.queries.learning_rate import share_of_rate
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Participation, Query, Stage, vector_of
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.run_state import RunState
from fedrec.randomness import key


class ModelUpdate(Query):
    """Shared half; the device's is `fedrec.queries.device.model_update`."""

    name = "training"
    encoder = "fedrec.queries.device.model_update:ModelUpdateEncoder"
    default_share = 0.35
    stage = Stage.TRAINING
    sampled = True
    own_noise = True

    def rounds(self, config: Config) -> range:
        """Rounds 1 to ``training.rounds``, where there is a tower."""
        return range(1, config.training.rounds + 1) if config.model.tower else range(0)

    def place(self, config: Config, round_number: int) -> tuple[int, ...]:
        """In order; a validation of the round comes after it."""
        return (round_number, 0)

    def participation(self, config: Config, users: int, devices: int) -> Participation:
        """As ``training.sampling`` draws devices.

        Amplification is claimed where a device is one row and its cohorts are secret.  Rows of one device come
        together, so where a device holds several, no amplification is claimed: a Poisson sample of devices is accounted
        as a known one of fixed size.
        """
        sampling = config.training.sampling
        several = config.privacy.unit == "example" or devices < users
        if sampling == "cyclic-poisson" and several:
            action = "Use training.sampling cyclic, or a device for each user and privacy.unit user"
            raise ConfigError("sampling cyclic-poisson needs devices of one row each", value=sampling, action=action)
        secret = sampling == "balls-in-bins" or config.training.secret_cohorts
        return Participation(
            len(self.rounds(config)),
            "fixed" if sampling == "poisson" and several else sampling,
            probability_of(config, devices),
            minimum_separation_of(config, devices),
            secret and not several,
        )

    def mechanism(self, config: Config) -> str:
        """As ``privacy.noise`` names it."""
        return config.privacy.noise

    def rows(self, config: Config, users: int) -> int:
        """Users, or their groups of interactions; of devices that add all noise themselves, each adds one row."""
        if is_local(config):
            return users
        return users * (config.training.examples if config.privacy.unit == "example" else 1)

    def broadcast(self, state: RunState, round_number: int) -> Broadcast:
        """Parameters, what the model is beside them, weights of items and the clip where they are not fixed."""
        training = state.training
        arrays = {"parameters": training.values.astype(np.float32), **state.carried()}
        if training.weights is not None:
            arrays[negatives.WEIGHTS] = training.weights
        adapts = state.config.privacy.adaptive_clip is not None
        return Broadcast(arrays, {adaptive_clip.CLIP: training.clip} if adapts else {})

    def accepted(self, config: Config, request: Request, features: Features) -> Broadcast:
        """What `broadcast` says, held to its form. Raises ProtocolError for a clip that the rule cannot lead to."""
        clip = adaptive_clip.agreed_clip(request.settings.get(adaptive_clip.CLIP), request.round, config.privacy)
        arrays = dict(accepted_model(config, request, len(features)))
        if config.training.pool == "popularity":
            arrays[negatives.WEIGHTS] = vector_of(request, negatives.WEIGHTS, np.int32)
        return Broadcast(arrays, {} if config.privacy.adaptive_clip is None else {adaptive_clip.CLIP: clip})

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """One element a parameter, and one more where the clip adapts; rotated where the settings say so."""
        length = len(said.arrays["parameters"]) + (config.privacy.adaptive_clip is not None)
        bound, settings = bound_of(config, clip_of(config, said.settings)), config.secure_aggregation
        if not settings.rotate:
            return PrivateSum.of(self.name, length, bound, rows, resolution_bits=settings.resolution_bits)
        return PrivateSum.rotated(
            self.name,
            length,
            bound,
            rows,
            # One rotation for the whole run: noise that is correlated over rounds stays so in the model's coordinates.
            seed=key(config.run.seed, "rotation", "training"),
            expected=_expected_rows(config, rows),
            resolution_bits=settings.resolution_bits,
        )

    def derived(
        self, config: Config, round_number: int, said: Broadcast, features: Features
    ) -> Mapping[str, NDArray[np.int32]]:
        """The round's pool of negatives. Raises ProtocolError where weights are missing or bad."""
        settings, catalogue = config.training, len(features)
        if settings.pool == "uniform":
            return {"pool": pool_of(config, round_number, catalogue)}
        weights = said.arrays.get(negatives.WEIGHTS)
        if weights is None:
            raise ProtocolError("a pool by popularity needs the weights of all items", value=round_number)
        negatives.check_weights(weights, catalogue)
        places = warm_items(config, catalogue)
        drawn = negatives.weighted(config.run.seed, round_number, weights[places], settings.negatives)
        return {"pool": places[drawn]}

    def decode(self, state: RunState, noisy: NoisySum) -> None:
        """Take a step of the optimiser, and move the clip where it adapts.

        The sum is divided by the number of rows *expected*; the true number would be a second thing to protect.
        """
        training, config = state.training, state.config
        number, expected = noisy.request.round, self.rows(config, state.users) * state.share
        gradient = noisy.vector[: len(training.values)] / expected
        training.values = training.optimiser.step(training.values, gradient, share_of_rate(number, config.training))
        adaptive = config.privacy.adaptive_clip
        if adaptive is not None:
            training.clip = adaptive_clip.next_clip(training.clip, float(noisy.vector[-1]), expected, adaptive)
        training.done = number
        state.set_parameters(training.values)

    def checkpoint(self, state: RunState) -> Mapping[str, NDArray[Any]]:
        """Parameters, the optimiser and the next round's clip."""
        training = state.training
        return {
            "values": training.values,
            "at": np.array([training.done, training.optimiser.steps], np.int64),
            "clip": np.array([training.clip]),
            **{f"moment/{name}": value for name, value in training.optimiser.moments.items()},
        }

    def restore(self, state: RunState, arrays: Mapping[str, NDArray[Any]]) -> int:
        """Take up training. Raises StoreError for parameters of another model."""
        training = state.training
        if arrays["values"].shape != training.values.shape:
            raise StoreError("the server's state holds parameters of another model", value=arrays["values"].shape)
        training.values, training.clip = arrays["values"], float(arrays["clip"][0])
        training.done, training.optimiser.steps = (int(number) for number in arrays["at"])
        training.optimiser.moments = {
            name.removeprefix("moment/"): value for name, value in arrays.items() if name.startswith("moment/")
        }
        state.set_parameters(training.values)
        return training.done

    def over(self, state: RunState, round_number: int) -> bool:
        """Whether validation found that more training is of no use."""
        return state.stopping.over


def bound_of(config: Config, clip: float) -> float:
    """The L2 bound of one row's part in a sum at this clip."""
    if is_local(config):
        return config.privacy.local.bound
    return adaptive_clip.joint_bound(clip, config.privacy.adaptive_clip)


def clip_of(config: Config, said: Mapping[str, Any]) -> float:
    """The clip of a round: as the request says where it adapts, else as set."""
    return float(said.get(adaptive_clip.CLIP, config.privacy.clip))


def accepted_model(config: Config, request: Request, items: int) -> dict[str, NDArray[Any]]:
    """Parameters and what the model is beside them, as far as these settings have it.

    Raises:
        ProtocolError: there are no parameters, or a table is of another shape or kind.
    """
    return {"parameters": vector_of(request, "parameters", np.float32), **carried_of(config, request, items)}


def carried_of(config: Config, request: Request, items: int) -> dict[str, NDArray[Any]]:
    """What the model is beside its parameters, as far as these settings have it; of what shape, the learner checks."""
    fixed = config.model.head_rank > 0 or config.model.text_encoder == "minilm-lora"
    frozen = fixed and "frozen" in request.arrays
    tables = item_tables.agreed(config, request.arrays, items)
    return {**tables, **({"frozen": vector_of(request, "frozen", np.float32)} if frozen else {})}


def _expected_rows(config: Config, rows: int) -> int:
    """Rows that are expected in one sum: of sampled cohorts, those of a cohort with one user a device."""
    if config.training.sampling == "full" or config.training.cohort == 0:
        return rows
    grouped = config.privacy.unit == "example" and config.privacy.noise_place != "local"
    return min(rows, config.training.cohort * (config.training.examples if grouped else 1))


def pool_of(config: Config, round_number: int, catalogue: int) -> NDArray[np.int32]:
    """A uniform pool of the items that a study does not keep out of training, as places of the catalogue."""
    places = warm_items(config, catalogue)
    return places[negatives.uniform(config.run.seed, round_number, len(places), config.training.negatives)]


def log_inclusion(config: Config, request: Request, catalogue: int) -> NDArray[np.float32] | None:
    """Of each item of a request's pool, the logarithm of its chance to be in it; None without a correction."""
    settings = config.training
    if not settings.correction:
        return None
    places = warm_items(config, catalogue)
    weights = request.arrays.get(negatives.WEIGHTS, np.ones(catalogue, np.int32))[places]
    found = negatives.inclusion(weights, settings.negatives)
    chances: NDArray[np.float64] = found[np.searchsorted(places, request.arrays["pool"])]
    return np.log(chances).astype(np.float32)


MODEL_UPDATE: Final = ModelUpdate()
