"""Rivals that are private or federated: their settings, searched on validation items, and their runs on test items.

Their settings are searched as fedrec's best configs were: by looking at validation items without noise, a cost that is
in nobody's epsilon.  What was found stands in ``rivals_settings.json`` beside this file; a search is only done where
that has nothing for a data set.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.config.base import Settings
from fedrec.ranking.protocols import loo_99neg
from simulations.benchmarks import federated_scores, private_als
from simulations.benchmarks.random_search import Range, Space, Values, search
from simulations.benchmarks.rivals_study import (
    RivalStudy,
    Target,
    figures,
    held_out,
    in_blocks,
    measured,
    over_seeds,
)

Score = Callable[[NDArray[np.int64]], NDArray[np.float32]]
# (study, settings, epsilon or None, seed, what is measured) -> scores of users
Run = Callable[[RivalStudy, Values, float | None, int, Target], Score]

SETTINGS: Final = Path(__file__).parent / "rivals_settings.json"
EPSILONS: Final = (math.inf, 8.0, 3.0, 1.0)
_AGAIN: Final = 4  # so many of the best tries are looked at again, with other noise
_TUNING_SEED: Final = 1000  # noise of tuning is never noise of testing


@dataclass(frozen=True)
class Method:
    """A rival: where its settings are drawn from, how it runs, what is tried first, and how many tries a budget has."""

    name: str
    space: Callable[[RivalStudy], Space]
    run: Run
    starts: tuple[Settings, ...]
    tries: int


def als_space(study: RivalStudy) -> Space:
    """Where the settings of private alternating least squares are drawn from; no content, no order of events."""
    return {
        "rank": Range(3, 40, logarithmic=True, whole=True),
        "sweeps": Range(1, 5, whole=True),
        "head": Range(min(100, study.items), study.items, logarithmic=True, whole=True),
        "popularity_share": Range(0.005, 0.5, logarithmic=True),
        "gram_share": Range(0.01, 0.6, logarithmic=True, zero=0.8),
        "whole_share": Range(0.003, 0.3, logarithmic=True),
        "clip": Range(0.03, 5.0, logarithmic=True),
        "item_unobserved": Range(1e-4, 0.3, logarithmic=True),
        "item_ridge": Range(0.01, 1e5, logarithmic=True),
        "item_ridge_power": Range(0.0, 1.0, zero=0.2),
        "user_ridge_power": Range(0.0, 1.0, zero=0.4),
        "user_unobserved": Range(1e-3, 1.0, logarithmic=True),
        "user_ridge": Range(0.03, 100.0, logarithmic=True),
        "item_power": Range(0.0, 0.6),
        "user_power": Range(0.0, 0.6, zero=0.3),
        "short": Range(1, 200, logarithmic=True, whole=True),
        "short_power": Range(0.0, 0.6, zero=0.3),
        "popularity_weight": Range(1e-3, 0.3, logarithmic=True, zero=0.3),
    }


def als_features_space(study: RivalStudy) -> Space:
    """With items' public features and the order of a user's own events."""
    content = {
        "features": Range(0.1, 1e4, logarithmic=True),
        "sharpness": Range(0.5, 4.0, zero=0.4),
    }
    order = {"recency": Range(0.05, 1.0, logarithmic=True, zero=0.3)} if study.ordered else {}
    return {**als_space(study), **content, **order}


def run_als(study: RivalStudy, values: Values, epsilon: float | None, seed: int, target: Target) -> Score:
    """Train on the users' training items; rank with what they have."""
    sharpness = values.get("sharpness", 0.0)
    settings = private_als.AlsSettings(**{name: one for name, one in values.items() if name != "sharpness"})
    content = study.features(float(sharpness)) if settings.features else None
    found = private_als.train(
        study.held.training, study.items, settings, epsilon=epsilon, delta=study.delta, seed=seed, features=content
    )
    histories = study.histories(target)
    return lambda users: private_als.scores_of(found, histories, settings, users)


def scores_space(study: RivalStudy) -> Space:
    """Where the settings of federated training with personal score functions are drawn from."""
    return {
        "dimension": Range(4, 32, logarithmic=True, whole=True),
        "rounds": Range(2, 60, logarithmic=True, whole=True),
        "negatives": Range(1, 4, whole=True),
        "user_steps": Range(1, 6, whole=True),
        "user_rate": Range(0.1, 30.0, logarithmic=True),
        "user_decay": Range(1e-5, 0.03, logarithmic=True, zero=0.3),
        "item_rate": Range(1.0, 3000.0, logarithmic=True),
        "spread": Range(0.003, 1.0, logarithmic=True),
        "final_steps": Range(1, 60, logarithmic=True, whole=True),
    }


def run_scores(study: RivalStudy, values: Values, epsilon: float | None, seed: int, target: Target) -> Score:
    """Train on the users' training items; score functions are fitted once more to what users have when they rank."""
    settings = federated_scores.ScoresSettings(**values)
    vectors, devices = federated_scores.train(
        study.held.training, study.items, settings, epsilon=epsilon, delta=study.delta, seed=seed
    )
    devices = federated_scores.ready(vectors, devices, study.histories(target))
    return lambda users: devices.scores[users] @ vectors.T


# Tried first: what is good with much noise, and what is good with little.
_ALS: Final = (
    private_als.AlsSettings(),
    private_als.AlsSettings(
        rank=48,
        sweeps=4,
        head=4000,
        item_unobserved=0.003,
        item_ridge=1e4,
        item_ridge_power=0.5,
        user_ridge=1.0,
        item_power=0.1,
        popularity_weight=0.0,
    ),
)
_WITH_FEATURES: Final = tuple(one.model_copy(update={"features": 100.0}) for one in _ALS)
METHODS: Final[Mapping[str, Method]] = {
    one.name: one
    for one in (
        Method("private ALS", als_space, run_als, _ALS, 150),
        Method("private ALS, item features", als_features_space, run_als, _WITH_FEATURES, 150),
        Method("personal scores (PFedRec)", scores_space, run_scores, (federated_scores.ScoresSettings(),), 60),
    )
}


def name_of(epsilon: float) -> str:
    """How files call a budget."""
    return "none" if math.isinf(epsilon) else f"{epsilon:g}"


def chosen(
    study: RivalStudy, method: Method, epsilon: float, kept: Path, starts: Sequence[Values], tries: int
) -> dict[str, Any]:
    """Search the settings of a method at a budget: ``{"settings", "valid_ndcg", "tried"}``."""
    budget = None if math.isinf(epsilon) else epsilon

    def quality(values: Values, seed: int = _TUNING_SEED) -> float:
        try:
            score = method.run(study, values, budget, seed, "valid")
        except np.linalg.LinAlgError:  # settings that solve nothing
            return 0.0
        return float(loo_99neg(in_blocks(study.users, score), held_out(study.held, "valid")).ndcg or 0.0)

    tried = search(method.space(study), quality, tries=tries, seed=0, kept=kept, starts=starts)
    if budget is None:
        best = tried[0]
        return {"settings": best["settings"], "valid_ndcg": round(best["quality"], 4), "tried": len(tried)}
    again = kept.with_suffix(".again.json")
    if not again.is_file():
        means = [fmean(quality(one["settings"], _TUNING_SEED + at) for at in range(1, 4)) for one in tried[:_AGAIN]]
        place = int(np.argmax(means))
        found = {"settings": tried[place]["settings"], "valid_ndcg": round(means[place], 4), "tried": len(tried)}
        again.write_text(json.dumps(found), encoding="utf-8")
    found = json.loads(again.read_text(encoding="utf-8"))
    return dict(found)


def searched(study: RivalStudy, method: Method, out: Path, tries: int | None = None) -> dict[str, Any]:
    """Settings of a method for every budget.

    What was good at one budget, and at this budget on another data set, is tried first.  Without noise, where nothing
    is claimed and runs are the longest, there are half as many tries.
    """
    found: dict[str, Any] = {}
    others = [known[method.name] for name, known in _known().items() if name != study.name and method.name in known]
    for epsilon in EPSILONS:
        kept = out / f"{method.name.replace(', ', '-').replace(' ', '-')}-{name_of(epsilon)}.jsonl"
        starts = [*(one.model_dump() for one in method.starts), *(one["settings"] for one in found.values())]
        starts += [one[name_of(epsilon)]["settings"] for one in others]
        count = (tries or method.tries) // (2 if math.isinf(epsilon) else 1)
        found[name_of(epsilon)] = chosen(study, method, epsilon, kept, starts, count)
        print(study.name, method.name, name_of(epsilon), json.dumps(found[name_of(epsilon)]), flush=True)
    return found


def settings_of(study: RivalStudy, method: Method, out: Path) -> dict[str, Any]:
    """The settings that stand in ``rivals_settings.json``, or else a search."""
    found: dict[str, Any] | None = _known().get(study.name, {}).get(method.name)
    return found if found is not None else searched(study, method, out)


def _known() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SETTINGS.read_text(encoding="utf-8")) if SETTINGS.is_file() else {}
    return found


def results(study: RivalStudy, method: Method, out: Path, seeds: int) -> list[dict[str, Any]]:
    """One record a budget, over seeds, on test items; kept in ``out`` as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    records = []
    for budget, found in settings_of(study, method, out).items():
        epsilon = None if budget == "none" else float(budget)
        record = out / f"{method.name.replace(', ', '-').replace(' ', '-')}-{budget}.json"
        facts = {"rival": method.name, "epsilon": epsilon, "seeds": seeds, **found}
        if record.is_file():
            before = json.loads(record.read_text(encoding="utf-8"))
            if all(before[name] == facts[name] for name in facts):
                records.append(before)
                continue
        began = time.process_time()
        runs = [_tested(study, method, found["settings"], epsilon, seed) for seed in range(seeds)]
        facts |= {"quality": over_seeds(runs), "cpu_seconds": (time.process_time() - began) / seeds}
        record.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        print(study.name, method.name, budget, json.dumps(facts["quality"]), flush=True)
        records.append(facts)
    return records


def _tested(
    study: RivalStudy, method: Method, values: Values, epsilon: float | None, seed: int
) -> dict[str, float | None]:
    return figures(measured(method.run(study, values, epsilon, seed, "test"), study.held, "test"))
