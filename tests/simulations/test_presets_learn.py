"""Every preset of the literature learns on the shop, federated and private: before and after, at user-level epsilon 20.

A shop of 120 users is small for privacy, so encoders are small, and steps are plain gradient steps: noise that is
added to a gradient stays as small in the step, where Adam would scale it up to the size of a signal.  Settings were
chosen on the shop of seed 1; what is tested is the shop of seed 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedrec.aggregation.behaviour import Behaviour
from fedrec.config import from_tree
from fedrec.console import SilentReporter
from fedrec.model.build import build_model
from fedrec.model.warm_start import fit_heads
from simulations.measure import quality_of
from simulations.run import settled, simulate
from simulations.shop.generate import write_shop
from simulations.study import prepare

USERS, ITEMS, EPSILON = 120, 150, 20.0
CHANCE = 0.1

HEADS: dict[str, Any] = {
    "model": {"dimension": 8, "history": 16},
    "training": {"rounds": 8, "positives": 8, "negatives": 96, "temperature": 0.3, "learning_rate": 1.5},
}
SCRATCH: dict[str, Any] = {
    "content": {"text": {"length": 12, "vocabulary": 256}, "image": {"size": 16}},
    "model": {"dimension": 8, "history": 8},
    "training": {"rounds": 6, "positives": 6, "negatives": 24, "temperature": 0.3, "learning_rate": 1.5},
}
CLICKS: dict[str, Any] = SCRATCH | {"training": SCRATCH["training"] | {"temperature": 0.4, "learning_rate": 1.0}}

# What each preset must reach, fixed before the runs were: HR@10 above the same model untrained, and above chance.
CASES: dict[str, tuple[dict[str, Any], float, float]] = {
    "concat-ctr": (CLICKS, 0.03, 0.05),
    "weighted-fusion": (HEADS, 0.03, 0.15),
    "attention-multitask": (SCRATCH, 0.03, 0.05),
    "mmulcoonn": (SCRATCH, 0.03, 0.05),
    "mmfnet": (SCRATCH, 0.03, 0.05),
    "pretrained-cf": (HEADS, 0.03, 0.15),
    "item-cf": ({}, 0.0, 0.15),
    "ease": ({}, 0.0, 0.15),
    "fedrec": (HEADS, 0.03, 0.15),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("presets") / "shop"
    write_shop(directory, users=USERS, items=ITEMS, seed=0)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES))
def test_the_preset_learns_federated_and_private(
    name: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    tree, over_untrained, over_chance = CASES[name]
    config = settled(
        from_tree(
            tree
            | {
                "model": tree.get("model", {}) | {"preset": name},
                "training": tree.get("training", {}) | {"optimiser": "sgd"},
                "privacy": {"epsilon": EPSILON},
                "evaluation": {"every": 0},
            }
        )
    )
    study = prepare(config, shop, SilentReporter())
    run = simulate(config, shop, tmp_path / "out", reporter=SilentReporter(), study=study)
    assert run["stopped"] is None
    assert run["privacy"]["epsilon_released"] == pytest.approx(EPSILON, abs=0.1)
    assert run["baselines"]["random"]["hr@10"] == pytest.approx(CHANCE)
    trained = run["quality"]["loo-99neg"]["hr@10"]
    assert trained >= CHANCE + over_chance
    if config.model.tower:
        first = build_model(config, study.features)
        if config.model.warm_start is not None:
            fit_heads(first, study.features.values, study.features.present, evenness=config.model.warm_start)
        untrained = quality_of(config, study, first, Behaviour.empty(len(study.features.ids))).loo_99neg.hr
        assert untrained is not None
        assert trained >= untrained + over_untrained
