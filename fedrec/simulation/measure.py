"""Quality as the simulator sees it: exact, from data that no device would send, next to rankings anybody could make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.queries import model_update
from fedrec.randomness import key
from fedrec.ranking.lists import content_vectors
from fedrec.ranking.protocols import Evaluation, evaluate, loo_99neg
from fedrec.ranking.score import Scorer, users_at_once
from fedrec.run_warnings import PRIVATE_POPULARITY
from fedrec.simulation.cold import cold_quality
from fedrec.simulation.groups import UserGroup, groups_of
from fedrec.simulation.newcomers import quality_of_newcomers
from fedrec.simulation.private_popularity import private_popularity
from fedrec.simulation.rating_quality import rating_quality
from fedrec.simulation.study import Study
from fedrec.simulation.truth import TRUTH
from fedrec.users import UserBatch

if TYPE_CHECKING:
    from fedrec.model.recommender import Recommender

Scores = NDArray[np.float32]


def scorer_of(
    config: Config,
    study: Study,
    model: Recommender | None,
    collaborative: CollaborativeFactors,
    features: Features | None = None,
) -> Scorer:
    """What a device would rank with, were the run to end now. ``features``: as the model reads them, where they are not
    the study's own."""
    return Scorer(
        model=model,
        features=features or study.features,
        collaborative=collaborative,
        settings=config.collaborative,
        model_settings=config.model,
    )


def quality_of(
    config: Config,
    study: Study,
    model: Recommender | None,
    collaborative: CollaborativeFactors,
    groups: Mapping[str, UserGroup] | None = None,
    features: Features | None = None,
) -> Evaluation:
    """Both protocols on what is held out, for every measured user, and loo-99neg of ``groups`` of them.

    ``features``: see `scorer_of`.
    """
    scorer = scorer_of(config, study, model, collaborative, features)
    measured = np.flatnonzero(study.held_out.target >= 0)
    known = known_of(config, study, model, features)
    vectors = content_vectors(study.features.values, study.features.present)
    masks = {name: group.users for name, group in (groups or {}).items()}
    return evaluate(scorer.blocks(known, users=measured), study.held_out, vectors=vectors, groups=masks)


def whole_quality(
    config: Config,
    study: Study,
    model: Recommender | None,
    collaborative: CollaborativeFactors,
    features: Features | None = None,
) -> dict[str, Any]:
    """The ``quality`` table of run.json: `quality_of` with warm and cold users and items apart, cold items, cut
    histories, and predicted ratings."""
    groups = groups_of(study)
    found = quality_of(config, study, model, collaborative, groups, features)
    apart = {name: {"rule": groups[name].rule, **one.as_dict()} for name, one in found.groups.items()}
    newcomers = apart.pop("newcomers")
    del newcomers["rule"]
    cold = cut = None
    if study.cold is not None or config.evaluation.history_at_most:
        scorer = scorer_of(config, study, model, collaborative, features)
        known = known_of(config, study, model, features)
        if study.cold is not None:
            cold = cold_quality(config, scorer, known, study.cold, study.population.sampling_keys)
        cut = quality_of_newcomers(config.evaluation.history_at_most, scorer, known, study.held_out)
    beside = {"loo-99neg-newcomers": newcomers, "groups": apart, "cold-items": cold, "history-at-most": cut}
    return dict(found.as_dict()) | beside | {"ratings": rating_quality(config, study, collaborative)}


def known_of(config: Config, study: Study, model: Recommender | None, features: Features | None = None) -> UserBatch:
    """What devices rank with: their users' data, and private vectors where the config asks for them."""
    if model is None or not config.model.adapter or not config.training.personal_steps:
        return study.known
    # Here, since a run without private vectors, let alone a tower, needs none of it, and torch takes seconds to import.
    from fedrec.training.build_rows import RowShape
    from fedrec.training.personalise import personalise
    from fedrec.training.tables import Tables

    settings = config.training
    adapters = personalise(
        model,
        study.population,
        Tables(features or study.features),
        model_update.pool_of(config, 0, len(study.features.ids)),
        RowShape(settings.positives, config.model.history, config.model.notes, config.model.photos),
        loss=settings.loss,
        steps=settings.personal_steps,
        key=key(config.run.seed, "personalise"),
        batch_rows=config.speed.batch_rows,
    )
    return replace(study.known, adapter=adapters)


def baselines_of(config: Config, study: Study) -> dict[str, dict[str, Any] | None]:
    """Popularity in training, the same with noise for the whole epsilon, chance (every score equal, ties count half),
    and on a shop the oracle; loo-99neg."""
    items = len(study.features.ids)
    counts = np.bincount(study.split.training.items, minlength=items).astype(np.float32)
    noisy = private_popularity(config, study)
    return {
        "popularity": _few(study, lambda users: np.broadcast_to(counts, (len(users), items))),
        PRIVATE_POPULARITY: None
        if noisy is None
        else _few(study, lambda users: np.broadcast_to(noisy, (len(users), items))),
        "random": _few(study, lambda users: np.broadcast_to(np.float32(0.0), (len(users), items))),
        "oracle": _oracle(study),
    }


def _oracle(study: Study) -> dict[str, Any] | None:
    directory = study.dataset.directory
    if directory is None or not (directory / TRUTH).is_file():
        return None
    from fedrec.simulation.shop.oracle import load_oracle

    oracle = load_oracle(directory)
    person = {user: place for place, user in enumerate(oracle.user_ids)}
    thing = {item: place for place, item in enumerate(oracle.item_ids)}
    users_at = np.array([person[user] for user in study.dataset.users])
    items_at = np.array([thing[item] for item in study.features.ids])
    return _few(study, lambda users: oracle.scores(users_at[users])[:, items_at])


def _alike(study: Study, scores: Scores) -> dict[str, Any]:
    """Of scores [items] that everybody is ranked with."""
    return _few(study, lambda users: np.broadcast_to(scores, (len(users), len(scores))))


def _few(study: Study, score: Callable[[NDArray[np.int64]], Scores]) -> dict[str, Any]:
    measured = np.flatnonzero(study.held_out.target >= 0)
    step = users_at_once(len(study.features.ids))
    blocks = ((users, score(users)) for users in (measured[at : at + step] for at in range(0, len(measured), step)))
    table: Mapping[str, Any] = loo_99neg(blocks, study.held_out).as_dict()
    return {name: table[name] for name in ("hr@10", "ndcg@10")}
