"""RAIFLE: a server that makes up the catalogue's features so that it can read single items out of model updates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fedrec import randomness
from fedrec.audit.attacks.catalogue import columns, fingerprinted, matched
from fedrec.client.query_handler import QueryHandler
from fedrec.collaborative import item_tables
from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.queries import negatives
from fedrec.queries.model_update import MODEL_UPDATE
from fedrec.queries.plan import costs_of, rows_of
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.schedule import make_request
from fedrec.simulation.attacks.exposure import ProgressListener, bounded
from fedrec.simulation.attacks.result import AttackResult, Defence
from fedrec.simulation.study import Study

Floats = NDArray[np.float64]
MOST_USERS: Final = 400
EACH: Final = 20  # trials with, and as many without, an item
ROUNDS: Final = 4  # a device trains on some of its events in each
_COMMON = (0.02, 0.5)  # an item asked about is in this share of the users' histories


@dataclass(frozen=True)
class Raifle:
    """For items of its choice, the server decides for a victim, from the first rounds: is it in the user's history?

    Half of the users are known to the server and tell it what to look for; the victims are among the others.  Of plain
    averaging it reads the victim's own update; of secure aggregation the sum over the smallest cohort that devices
    accept; with noise the sum over a round's cohort, with noise that is in the sum before the server opens it.
    """

    name: str = "raifle"
    paper: str = (
        "Pham, Kulkarni and Houmansadr 2023, RAIFLE: Reconstruction Attacks on Interaction-based Federated Learning "
        "with Adversarial Data Manipulation"
    )

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        """See `Attack`. The figure: AUC over pairs of a victim and an item, as many who have the item as who do not."""
        started = time.perf_counter()
        world = CraftedUpdates.prepare(study, bounded(config, defence, seed), seed, reporter)
        size = world.cohort(defence)
        having, lacking = world.trials(defence, size, seed)
        value = auc(having, lacking)
        spread = 1.96 * _error(value, len(having), len(lacking))
        note = f"{world.asked} items asked about in {world.rounds} rounds; the server reads " + (
            "the victim's updates" if size == 1 else f"sums over {size:,} devices"
        )
        if world.noise:
            note += (
                f" with noise multiplier {world.noise:.2f} in it already; of noise that the server itself "
                "places it sees the sum without, as under secagg"
            )
        return AttackResult(
            self.name,
            defence,
            "AUC",
            value,
            max(0.0, value - spread),
            min(1.0, value + spread),
            0.5,
            len(having) + len(lacking),
            time.perf_counter() - started,
            note,
        )


@dataclass(frozen=True, eq=False)
class CraftedUpdates:
    """What single devices would send under the crafted catalogue: ``sent`` [rounds, users, items asked about,
    dimension].

    ``holds``: bool [users, items]. ``noise``: the training sum's noise multiplier, 0 without.
    """

    config: Config
    request: Request
    population: int
    sent: Floats
    holds: NDArray[np.bool_]
    noise: float

    @property
    def asked(self) -> int:
        """How many items the server asks about."""
        return len(self.holds[0])

    @property
    def rounds(self) -> int:
        """How many rounds it looks at."""
        return len(self.sent)

    @classmethod
    def prepare(cls, study: Study, config: Config, seed: int, reporter: Reporter) -> CraftedUpdates:
        """Craft the catalogue and let single devices answer. Raises ConfigError where there is nothing to craft."""
        population = len(study.population)
        asked, sent, holds = _answers(study, _without_noise(config).model_dump_json(), seed, ProgressListener(reporter))
        cost = {cost.query: cost for cost in costs_of(config, population)}.get("training")
        return cls(config, asked, population, sent, holds, 0.0 if cost is None else cost.noise_multiplier)

    def cohort(self, defence: Defence) -> int:
        """Over how many devices the server gets a sum: it asks as few as it can."""
        if defence == "plain":
            return 1
        if defence == "secagg":
            return min(self.config.secure_aggregation.minimum_cohort, self.population)
        return min(self.config.training.cohort or self.population, self.population)

    def trials(self, defence: Defence, size: int, seed: int) -> tuple[Floats, Floats]:
        """Scores of victims who have the item, and of as many who do not; item by item equally many."""
        draw = np.random.default_rng((seed, 1))
        known, victims = np.array_split(np.arange(self.sent.shape[1]), 2)
        having, lacking = [], []
        for item in range(self.asked):
            holders, others = (victims[self.holds[victims, item] == wanted] for wanted in (True, False))
            shown = known[self.holds[known, item]]
            each = min(EACH, len(holders), len(others))
            expected = self.sent[:, shown, item].mean(axis=(0, 1)) if len(shown) else np.zeros(self.sent.shape[3])
            for victim in draw.permutation(holders)[:each]:
                having.append(self._score(int(victim), item, expected, size, draw))
            for victim in draw.permutation(others)[:each]:
                lacking.append(self._score(int(victim), item, expected, size, draw))
        if not having:
            raise ConfigError(
                "no item is used by some victims and not by others", action="Attack a data set with more users"
            )
        return np.array(having), np.array(lacking)

    def _score(self, victim: int, item: int, expected: Floats, size: int, draw: np.random.Generator) -> float:
        """The sum over the rounds of how much each says for the item."""
        seen = self.sent[:, victim, item]
        if size == 1 and not self.noise:
            return float(np.linalg.norm(seen, axis=1).sum())
        others = draw.integers(self.sent.shape[1], size=(self.rounds, size - 1))
        columns_ = seen + self.sent[np.arange(self.rounds)[:, None], others, item].sum(axis=1)
        if self.noise:
            label = int(draw.integers(2**62))
            drawn = randomness.gaussian(randomness.key(label, "raifle"), columns_.size)
            columns_ = columns_ + self.noise * self.request.sum.sensitivity * drawn.reshape(columns_.shape)
        return float(matched(columns_, np.broadcast_to(expected, columns_.shape)).sum())


@lru_cache(maxsize=1)
def _answers(
    study: Study, config_text: str, seed: int, hearer: ProgressListener
) -> tuple[Request, Floats, NDArray[np.bool_]]:
    """What devices send does not depend on the defence, and is the slow part: kept for the next one."""
    config = Config.model_validate_json(config_text)
    draw = np.random.default_rng(seed)
    users = draw.permutation(len(study.population))[:MOST_USERS].astype(np.int64)
    rounds = range(1, ROUNDS + 1)
    modality = _widest(study.features, config)
    catalogue = len(study.features.ids)
    pools = [negatives.uniform(config.run.seed, number, catalogue, config.training.negatives) for number in rounds]
    items = _asked(study, pools, study.features.widths[modality], draw)
    features = fingerprinted(study.features, items, modality)
    tables = item_tables.none(config, catalogue)
    model = build_model(config, item_tables.extended(config, features, tables))
    values, rows = parameters.flatten(model), rows_of(config, len(study.population))
    said = Broadcast({"parameters": values, **tables})
    requests = [
        make_request(MODEL_UPDATE, config, number, said, rows, study.features, number=number) for number in rounds
    ]
    handler = QueryHandler(config, features)
    sent = np.zeros((len(requests), len(users), len(items), config.model.dimension))
    for place in range(len(users)):
        hearer.reporter.progress(place, len(users), "updates under a crafted catalogue")
        alone = study.population.take(users[place : place + 1])
        for number, request in enumerate(requests):
            sent[number, place] = columns(model, handler.answer(request, alone), modality, len(items))
    for number, pool in enumerate(pools):
        sent[number, :, np.isin(items, pool)] = 0.0  # a negative of the round is in everybody's update
    holds = np.stack([np.isin(items, study.population.histories[int(user)]) for user in users])
    return requests[0], sent, holds


def _without_noise(config: Config) -> Config:
    return config.model_copy(update={"privacy": config.privacy.model_copy(update={"epsilon": None})})


def auc(having: Floats, lacking: Floats) -> float:
    """How often one who has the item scores above one who does not, ties half."""
    ranks = rankdata(np.concatenate([having, lacking]))
    above = ranks[: len(having)].sum() - len(having) * (len(having) + 1) / 2
    return float(above / (len(having) * len(lacking)))


def _error(value: float, having: int, lacking: int) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982)."""
    both, one = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (having - 1) * (both - value**2) + (lacking - 1) * (one - value**2)
    return float(np.sqrt(max(spread, 0.0) / (having * lacking)))


def _widest(features: Features, config: Config) -> str:
    """The modality with the most coordinates whose encoder is a linear head."""
    heads = {"text": config.model.text_encoder, "image": config.model.image_encoder}
    found = [
        name
        for name, values in features.values.items()
        if name in (config.model.reads or features.values)
        and values.ndim == 2
        and np.issubdtype(values.dtype, np.floating)
        and heads.get(name, "head") == "head"
    ]
    if not found or not config.model.tower:
        raise ConfigError("no linear head to craft features for", action="Attack a model with a content tower")
    return max(found, key=lambda name: features.widths[name])


def _asked(study: Study, pools: Sequence[NDArray[np.int32]], most: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Items to ask about: those that are the least often in the rounds' pools of negatives, and not in all."""
    share = np.bincount(study.population.histories.items, minlength=len(study.features.ids)) / len(study.population)
    pooled = np.bincount(np.concatenate(pools), minlength=len(share))
    fitting = (share >= _COMMON[0]) & (share <= _COMMON[1]) & (pooled < len(pools))
    places = draw.permutation(np.flatnonzero(fitting))
    return np.sort(places[np.argsort(pooled[places], kind="stable")][:most]).astype(np.int64)


ATTACK = Raifle()
