"""The page of rivals: what they may see, how they are measured and chosen, and whose figures stand where."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrec.console import DASH
from fedrec.content.feature_table import Features
from fedrec.errors import DataError
from fedrec.simulation.shop.generate import write_shop
from fedrec.users import Histories
from simulations.benchmarks import rivals, rivals_central, rivals_private, rivals_study, rivals_table
from simulations.benchmarks.rivals_study import RivalStudy

NAMES = ("hr", "ndcg", "full_hr", "full_ndcg")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rivals") / "shop"
    write_shop(directory, users=24, items=140, seed=3)
    return directory


@pytest.fixture(scope="module")
def study(shop: Path) -> RivalStudy:
    return rivals_study.study_of(shop)


def quality(value: float) -> dict[str, float]:
    return dict.fromkeys(NAMES, value) | {f"{name}_error": 0.01 for name in NAMES}


def test_rivals_are_measured_against_the_given_negatives_and_see_nothing_held_out(
    study: RivalStudy, tmp_path: Path
) -> None:
    files = rivals_central.prepared(study, tmp_path)
    held, last = study.held, study.histories("test")
    for name, known in (("valid", held.training), ("test", last)):
        with np.load(files[name]) as arrays:
            assert set(arrays.files) == {"indptr", "items", "catalogue", "features"}
            assert np.array_equal(arrays["items"], known.items)
            assert arrays["features"].shape[0] == study.items
    for user in range(study.users):
        assert not {int(held.valid[user]), int(held.test[user])} & set(held.training[user].tolist())
        assert int(held.test[user]) not in last[user]
        if held.valid[user] >= 0:
            assert last[user][-1] == held.valid[user]
    perfect = np.zeros((study.users, study.items), np.float32)
    perfect[np.arange(study.users), held.test] = 1.0
    assert rivals_study.measured(lambda users: perfect[users], held, "test").loo_99neg.hr == 1.0
    assert rivals_study.measured(lambda users: perfect[users], held, "valid").loo_99neg.hr != 1.0
    flat = np.zeros_like(perfect)
    assert rivals_study.measured(lambda users: flat[users], held, "test").loo_99neg.hr == pytest.approx(0.1)


def test_the_validation_item_comes_last_where_there_is_one() -> None:
    found = rivals_study.with_last(Histories.of([[1, 2], [3], []]), np.array([7, -1, 8], np.int32))
    assert [found[user].tolist() for user in range(3)] == [[1, 2, 7], [3], [8]]


def test_of_a_rivals_settings_the_validation_item_chooses() -> None:
    tried = [
        {"settings": {"k": k}, "quality": {"valid": quality(valid), "test": quality(test)}}
        for k, valid, test in ((1, 0.5, 0.9), (2, 0.6, 0.1))
    ]
    assert rivals_central.chosen(tried)["settings"] == {"k": 2}


def test_content_of_items_is_scaled_and_zero_where_missing() -> None:
    values = {"text": np.array([[3.0, 4.0], [9.0, 9.0]], np.float32), "attributes": np.ones((2, 1), np.float32)}
    there = {name: np.array([True, False]) for name in values}
    found = rivals_central.content_of(Features(("a", "b"), ("", ""), values, there))
    assert np.allclose(found[0], [0, 1.2, 1.6])  # the mean length is 2.5, of 5 and 0
    assert not found[1].any()


def test_a_central_rival_is_trained_once_and_again_with_the_validation_item(
    study: RivalStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def trained(python: Path, known: Path, out: Path, rival: str, settings: dict[str, Any]) -> dict[str, Any]:
        asked.append((known.stem, settings))
        scores = np.zeros((study.users, study.items), np.float32)
        liked = study.held.valid if settings else study.held.training.items[study.held.training.indptr[:-1]]
        scores[np.arange(study.users), liked] = 1.0
        np.save(out, scores)
        return {"cpu_seconds": 1.0, "versions": {"cornac": "0"}}

    monkeypatch.setattr(rivals_central, "trained", trained)
    record = rivals_central.results(study, "Cornac BPR", Path("python"), tmp_path)
    models = rivals_central.LIBRARIES["Cornac"].models["BPR"]
    assert [stem for stem, _ in asked] == ["known-valid"] * len(models) + ["known-test"]
    assert record["settings"] == asked[-1][1] == models[1]
    assert record["tried"] == len(models)
    assert not list(tmp_path.glob("*.npy"))
    assert rivals_central.results(study, "Cornac BPR", Path("python"), tmp_path) == record
    assert len(asked) == len(models) + 1


def test_settings_are_searched_where_none_stand_in_the_file_and_kept_runs_are_not_done_again(
    study: RivalStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals_private, "SETTINGS", tmp_path / "settings.json")
    method = rivals_private.METHODS["private ALS"]
    monkeypatch.setattr(rivals_private, "_AGAIN", 2)
    found = rivals_private.searched(study, method, tmp_path, tries=3)
    assert list(found) == ["none", "8", "3", "1"]
    assert [one["tried"] for one in found.values()] == [1, 3, 3, 3]
    (tmp_path / "settings.json").write_text(json.dumps({study.name: {method.name: found}}))
    records = rivals_private.results(study, method, tmp_path, seeds=2)
    assert [one["epsilon"] for one in records] == [None, 8.0, 3.0, 1.0]
    assert all(0 <= one["quality"]["hr"] <= 1 and one["quality"]["seed_hr"] is not None for one in records)
    monkeypatch.setattr(rivals_private, "_tested", lambda *_: pytest.fail("a finished run was run again"))
    assert rivals_private.results(study, method, tmp_path, seeds=2) == records


@pytest.mark.parametrize("name", list(rivals_private.METHODS))
def test_each_method_ranks_for_every_user(name: str, study: RivalStudy) -> None:
    method = rivals_private.METHODS[name]
    values = {**method.starts[0].model_dump(), "rank": 4} if "rank" in method.starts[0].model_dump() else {"rounds": 2}
    scores = method.run(study, values, 8.0, 0, "test")(np.arange(study.users))
    assert scores.shape == (study.users, study.items)
    assert np.isfinite(scores).all()
    space = method.space(study)
    assert set(space) <= set(method.starts[0].model_dump()) | {"sharpness"}


def test_settings_of_the_file_are_settings_of_the_methods() -> None:
    if not rivals_private.SETTINGS.is_file():
        pytest.skip("nothing was searched yet")
    for methods in json.loads(rivals_private.SETTINGS.read_text(encoding="utf-8")).values():
        for name, budgets in methods.items():
            assert list(budgets) == ["none", "8", "3", "1"]
            for one in budgets.values():
                known = {key: value for key, value in one["settings"].items() if key != "sharpness"}
                assert type(rivals_private.METHODS[name].starts[0])(**known)


def run_file(path: Path, epsilon: float | None, hr: float, name: str = "best") -> Path:
    few = {"hr@10": hr, "ndcg@10": 0.3, "hr@10-error": 0.01, "ndcg@10-error": 0.02}
    quality = {"loo-99neg": few, "loo-full": few}
    config = {"run": {"name": name}, "privacy": {"epsilon": epsilon}}
    path.write_text(json.dumps({"config": config, "data": {"name": "shop"}, "quality": quality}))
    return path


def test_fedrecs_own_lines_come_from_its_runs(tmp_path: Path) -> None:
    given = [run_file(tmp_path / f"{at}.json", epsilon, hr) for at, (epsilon, hr) in enumerate(((8, 0.5), (8, 0.6)))]
    given.append(run_file(tmp_path / "free.json", None, 0.7))
    found = rivals_table.ours(given)["shop"]
    assert [(one["epsilon"], one["seeds"]) for one in found] == [(8, 2), (None, 1)]
    assert found[0]["quality"]["hr"] == pytest.approx(0.55)
    assert found[0]["quality"]["full_ndcg_error"] == pytest.approx(0.02)
    (tmp_path / "bad.json").write_text('{"config": {}}')
    with pytest.raises(DataError, match=r"run\.json of a measured run"):
        rivals_table.ours([tmp_path / "bad.json"])


def test_the_page_has_budgets_in_order_and_the_best_last(tmp_path: Path) -> None:
    private = [
        {"rival": "low", "epsilon": 1.0, "seeds": 3, "tried": 9, "cpu_seconds": 2.0, "quality": quality(0.2)},
        {"rival": "high", "epsilon": 8.0, "seeds": 3, "tried": 9, "cpu_seconds": 2.0, "quality": quality(0.4)},
        {"rival": "free", "epsilon": None, "seeds": 3, "tried": 9, "cpu_seconds": 2.0, "quality": quality(0.6)},
    ]
    private += rivals_table.ours([run_file(tmp_path / "run.json", 8.0, 0.5)])["shop"]
    central = [
        {
            "rival": "Cornac EASE",
            "settings": {"lamb": 200},
            "tried": 4,
            "cpu_seconds": 3.0,
            "versions": {"cornac": "3.0.1"},
            "quality": quality(0.6),
            "quality_unseen": quality(0.5),
        }
    ]
    text = rivals_table.markdown({"shop": {"private": private, "central": central}})
    places = [text.index(f"| {name} |") for name in ("free", "**fedrec**, `best`", "high", "low", "Cornac EASE")]
    assert places == sorted(places)
    assert "| Cornac EASE | lamb=200 | .600 ± .010 |" in text
    assert ".500 / .500" in text
    assert "cornac 3.0.1" in text
    assert DASH in text[places[1] : places[2]]


def test_the_command_makes_the_page_without_any_library(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"rank": 4, "sweeps": 1, "head": 20}
    found = {name: {"settings": small, "valid_ndcg": 0.1, "tried": 1} for name in ("none", "8")}
    monkeypatch.setattr(rivals_private, "SETTINGS", tmp_path / "settings.json")
    (tmp_path / "settings.json").write_text(json.dumps({"shop": {"private ALS": found}}))
    own = run_file(tmp_path / "run.json", 8.0, 0.5)
    words = [shop, "--out", tmp_path / "out", "--rivals", "private ALS", "--seeds", "1", "--ours", own]
    monkeypatch.setattr(sys, "argv", ["", *map(str, words)])
    rivals.main()
    page = (tmp_path / "out" / "rivals.md").read_text()
    assert page.count("| private ALS |") == 2
    assert "| **fedrec**, `best` | 8 |" in page
    kept = tmp_path / "out" / "rivals.json"
    assert "fedrec" not in kept.read_text()
    own = run_file(tmp_path / "other.json", 8.0, 0.9, name="newer")
    monkeypatch.setattr(rivals_private, "results", lambda *_: pytest.fail("a rival was run again"))
    words = ["--records", kept, "--out", tmp_path / "again", "--ours", own]
    monkeypatch.setattr(sys, "argv", ["", *map(str, words)])
    rivals.main()
    again = (tmp_path / "again" / "rivals.md").read_text()
    assert again.replace("`newer`", "`best`").replace(".900", ".500") == page


def test_a_rival_that_was_run_again_takes_the_place_of_its_record() -> None:
    before: rivals_table.Tables = {
        "a": {"private": [{"rival": "x", "epsilon": 8.0, "v": 1}, {"rival": "x", "epsilon": 1.0}]}
    }
    more: rivals_table.Tables = {"a": {"private": [{"rival": "x", "epsilon": 8.0, "v": 2}]}, "b": {"central": []}}
    found = rivals_table.joined(before, more)
    assert found["a"]["private"] == [{"rival": "x", "epsilon": 1.0}, {"rival": "x", "epsilon": 8.0, "v": 2}]
    assert set(found) == {"a", "b"}
    assert len(before["a"]["private"]) == 2
