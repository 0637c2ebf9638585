"""Items kept out of training are in no history, sum or pool, and are measured right; warm and cold are told apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import query_cases
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.data.splits import split
from fedrec.queries.cold_items import cold_items
from fedrec.queries.cooccurrence import unfold
from fedrec.queries.device.cooccurrence import used_pairs
from fedrec.queries.device.popularity import used_items
from fedrec.queries.model_update import pool_of
from fedrec.ranking.score import Scorer
from fedrec.run_words import cold_item_words as cold_items_in_words
from fedrec.simulation.cold import cold_quality
from fedrec.simulation.groups import groups_of
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare
from fedrec.users import Histories, UserBatch

SHARE = 0.2
SETTINGS: dict[str, Any] = {
    "content": {"modalities": ["text", "image", "attributes"], "text": {"dimension": 16}},
    "model": {"dimension": 8},
    "collaborative": {"prior": {"weight": 0.5, "modalities": {"attributes": 0.5, "text": 0.5, "image": 0.5}}},
    "training": {"rounds": 15, "negatives": 40, "learning_rate": 0.05},
    "evaluation": {"every": 0, "cold": SHARE},
}


def config(**sections: Any) -> Config:
    return from_tree({**SETTINGS, **sections})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cold") / "shop"
    write_shop(directory, users=80, items=200, seed=5, private_users=0)
    return directory


@pytest.fixture(scope="module")
def study(shop: Path) -> Study:
    return prepare(config(), shop, SilentReporter())


def run(shop: Path, out: Path, settled: Config) -> dict[str, Any]:
    return simulate(settled, shop, out, reporter=SilentReporter())


@given(share=st.floats(0, 0.9), catalogue=st.integers(0, 400), seed=st.integers(0, 2**40), number=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_a_share_of_the_catalogue_is_cold_and_in_no_pool(share: float, catalogue: int, seed: int, number: int) -> None:
    chosen = config(run={"seed": seed}, evaluation={"cold": share})
    cold = cold_items(chosen, catalogue)
    assert len(cold) == len(set(cold.tolist())) == int(share * catalogue)
    assert (np.diff(cold) > 0).all()
    pool = pool_of(chosen, number, catalogue)
    assert not set(pool.tolist()) & set(cold.tolist())
    assert len(pool) == min(chosen.training.negatives, catalogue - len(cold))


def test_which_items_are_cold_follows_the_seed_and_is_another_choice_while_tuning() -> None:
    chosen = cold_items(config(), 1000)
    assert np.array_equal(chosen, cold_items(config(), 1000))
    for other in (config(run={"seed": 1}), config(evaluation={"cold": SHARE, "split": "valid"})):
        shared = len(set(chosen.tolist()) & set(cold_items(other, 1000).tolist()))
        assert 10 < shared < 80  # chance: 40, deviation 5


def test_nothing_that_trains_or_ranks_holds_a_cold_item(study: Study) -> None:
    cold = cold_items(config(), len(study.dataset.items))
    for items in (study.population.histories.items, study.known.histories.items, study.held_out.training.items):
        assert not np.isin(items, cold).any()
    assert not np.isin(study.population.held_out, cold).any()
    assert (used_items(study.population, len(study.dataset.items), 1.0)[cold] == 0).all()
    assert len(study.features.ids) == len(study.dataset.items)


@pytest.mark.parametrize("which", ["test", "valid"])
def test_each_user_is_asked_about_the_cold_items_that_they_really_had(shop: Path, which: str) -> None:
    chosen = config(evaluation={"cold": SHARE, "split": which})
    study = prepare(chosen, shop, SilentReporter())
    cold = set(cold_items(chosen, len(study.dataset.items)).tolist())
    table, whole = study.dataset.interactions, split(study.dataset)
    assert study.cold is not None
    for user in range(len(study.dataset.users)):
        had = set(table.item[table.user == user].tolist())
        if which == "valid":
            had -= {int(whole.test[user])}  # tuning must not look at it
        assert set(study.cold.take(np.array([user])).items.tolist()) == had & cold
        assert set(study.split.training[user].tolist()) == set(whole.training[user].tolist()) - cold


def fake(scores: np.ndarray) -> Any:
    """A scorer whose users are told apart by the one item in their history."""

    def parts_of(known: UserBatch) -> Any:
        return SimpleNamespace(total=scores[known.histories.items].astype(np.float32))

    return SimpleNamespace(items=scores.shape[1], parts_of=parts_of)


def measured(scores: np.ndarray, used: list[list[int]]) -> dict[str, Any]:
    known = UserBatch(Histories.of([[user] for user in range(len(used))]))
    keys = np.arange(len(used), dtype=np.uint64)
    return cold_quality(config(), fake(scores), known, Histories.of(used), keys)


def test_the_figures_are_those_computed_by_hand() -> None:
    cold = cold_items(config(), 1000)  # 200 of them
    scores = np.zeros((3, 1000))
    scores[0, cold[0]], scores[0, cold[1]] = 1.0, -1.0  # first and last of 100
    scores[1, cold[:3]] = (3.0, 2.0, 1.0)  # all first: a user's own items are not each other's negatives
    found = measured(scores, [cold[:2].tolist(), cold[:3].tolist(), []])
    assert (found["items"], found["users"], found["pairs"]) == (200, 2, 5)
    assert found["hr@10"] == pytest.approx((0.5 + 1.0) / 2)
    assert found["ndcg@10"] == pytest.approx((0.5 + 1.0) / 2)
    assert found["chance"] == pytest.approx(0.1)
    assert found["times_chance"] == pytest.approx(7.5)


def test_what_all_cold_items_share_changes_nothing_and_a_scorer_that_knows_nothing_gets_chance() -> None:
    rng = np.random.default_rng(0)
    cold = cold_items(config(), 300)  # 60: fewer than 99 negatives
    used = [rng.choice(cold, size=5, replace=False).tolist() for _ in range(30)]
    scores = rng.normal(size=(30, 300))
    moved = scores.copy()
    moved[:, cold] -= 100.0
    assert measured(moved, used)["hr@10"] == measured(scores, used)["hr@10"]
    flat = measured(np.zeros((30, 300)), used)
    assert flat["chance"] == pytest.approx(10 / 56)
    assert flat["times_chance"] == pytest.approx(1.0)


def test_content_finds_cold_items_and_behaviour_alone_does_not(shop: Path, tmp_path: Path) -> None:
    fused = run(shop, tmp_path / "fused", config())
    with_content = fused["quality"]["cold-items"]
    assert with_content["times_chance"] > 1.5
    assert with_content["hr@10"] - 3 * with_content["hr@10-error"] > with_content["chance"]
    sentence = cold_items_in_words(fused)
    assert sentence is not None
    assert f"{with_content['times_chance']:.1f} times chance" in sentence
    assert sentence in (tmp_path / "fused" / "report.html").read_text()
    alone = config(model={"preset": "behaviour-only"}, collaborative={})
    assert run(shop, tmp_path / "alone", alone)["quality"]["cold-items"]["times_chance"] == pytest.approx(1.0)


@pytest.mark.slow
def test_devices_with_stores_of_their_own_keep_cold_items_out_too(shop: Path, tmp_path: Path) -> None:
    def measured_in(engine: str) -> dict[str, Any]:
        chosen = config(run={"engine": engine}, training={"rounds": 2}, secure_aggregation={"protocol": "none"})
        quality: dict[str, Any] = run(shop, tmp_path / engine, chosen)["quality"]
        return quality

    apart, together = measured_in("grid"), measured_in("cohort")
    for name in ("hr@10", "ndcg@10"):
        assert apart["cold-items"][name] == pytest.approx(together["cold-items"][name], abs=0.01)
    assert apart["loo-99neg"]["hr@10"] == pytest.approx(together["loo-99neg"]["hr@10"], abs=0.02)


def test_the_content_prior_reaches_cold_items_without_a_tower(shop: Path, tmp_path: Path) -> None:
    prior = config(model={"tower": False})
    assert run(shop, tmp_path / "prior", prior)["quality"]["cold-items"]["times_chance"] > 1.3


def test_groups_part_the_measured_users_and_are_written_down(shop: Path, study: Study, tmp_path: Path) -> None:
    groups = groups_of(study)
    target = study.held_out.target
    for names in (("users-few", "users-many"), ("items-head", "items-tail", "items-unseen")):
        assert np.array_equal(sum(groups[name].users.astype(int) for name in names), (target >= 0).astype(int))
    events = study.split.training.lengths
    assert events[groups["users-few"].users].max() < events[groups["users-many"].users].min()
    assert np.isin(target[groups["items-unseen"].users], study.split.training.items).sum() == 0
    nobody = replace(study, held_out=replace(study.held_out, target=np.full_like(target, -1)))
    assert not any(group.users.any() for name, group in groups_of(nobody).items() if name != "newcomers")
    warm = config(evaluation={"every": 0}, model={"preset": "popularity-only"}, collaborative={})
    run(shop, tmp_path / "warm", warm)
    quality = json.loads((tmp_path / "warm" / "run.json").read_text())["quality"]
    assert quality["cold-items"] is None
    apart = quality["groups"]
    for names in (("users-few", "users-many"), ("items-head", "items-tail", "items-unseen")):
        parts = [(apart[name]["users"], apart[name]["hr@10"] or 0.0) for name in names]
        assert sum(users for users, _ in parts) == quality["loo-99neg"]["users"]
        mean = sum(users * hits for users, hits in parts) / quality["loo-99neg"]["users"]
        assert mean == pytest.approx(quality["loo-99neg"]["hr@10"])
    assert apart["items-head"]["hr@10"] > apart["items-tail"]["hr@10"]
    assert "test item used, but less" in (tmp_path / "warm" / "report.html").read_text()


def test_the_scorer_gives_cold_items_one_behaviour_score(study: Study) -> None:
    """Of an item in no sum nothing is known: whatever the standardisation does, it is the same for all of them."""
    from fedrec.collaborative.solve import solve

    chosen = config(collaborative={"scoring": {"weight": 1.0}})
    items = np.arange(len(study.features.ids))
    asked = query_cases.cooccurrence(chosen, items, len(items), len(study.population))
    opened = used_pairs(study.population, items, len(items), normalise=1.0, bound=asked.sum.bound)
    counts = used_items(study.population, len(items), 1.0)
    table = solve(counts, unfold(opened), items, chosen.collaborative, features=study.features, noisy=False)
    scorer = Scorer(
        model=None,
        features=study.features,
        collaborative=table,
        settings=chosen.collaborative,
        model_settings=chosen.model,
    )
    scores = scorer.parts_of(study.known).total[:, cold_items(chosen, len(items))]
    assert np.ptp(scores, axis=1).max() < 1e-5
    assert np.abs(scores).max() > 0.01
