"""Runs from Python: data of any shape, both engines, and what can be asked of a run that has ended."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

import fedrec
import fedrec.cli.main
import fedrec.cli.simulation
from fedrec.console import SilentReporter

GENRES = ("jazz", "rock", "folk")
ITEMS, USERS = 45, 30
SETTINGS: dict[str, Any] = {
    "run.seed": 5,
    "content.modalities": ["text", "attributes"],
    "content.text.dimension": 8,
    "model.dimension": 8,
    "training": {"rounds": 2, "negatives": 16},
    "privacy.epsilon": 8.0,
    "speed.threads": 1,
}


def albums() -> pd.DataFrame:
    """Items that are numbered from 100."""
    kinds = [GENRES[place % 3] for place in range(ITEMS)]
    titles = [f"{kind} album {place}" for place, kind in enumerate(kinds)]
    return pd.DataFrame({"item_id": range(100, 100 + ITEMS), "title": titles, "description": titles, "genres": kinds})


def plays() -> pd.DataFrame:
    """Each user hears six albums of one kind."""
    rows = [
        (f"u{user}", 100 + (3 * (user // 3 + 2 * play) + user) % ITEMS, 1_700_000_000 + 60 * play)
        for user in range(USERS)
        for play in range(6)
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


def arrays(run: fedrec.Run) -> dict[str, np.ndarray]:
    """Every array of a run's release."""
    files = sorted((run.directory / "model").glob("*.safetensors"))
    return {f"{path.name}/{name}": array for path in files for name, array in load_file(path).items()}


@pytest.fixture(scope="module")
def data() -> fedrec.Dataset:
    return fedrec.read_data(plays(), items=albums(), name="plays")


@pytest.fixture(scope="module")
def run(data: fedrec.Dataset) -> fedrec.Run:
    return fedrec.simulate("defaults", data, overrides=SETTINGS)


def test_a_run_tells_its_figures(run: fedrec.Run) -> None:
    assert 0 <= run.quality["loo-99neg"]["hr@10"] <= 1
    assert run.privacy["epsilon_released"] == pytest.approx(8.0, rel=1e-3) and run.privacy["unit"] == "user"
    assert run.record["data"]["name"] == "plays" and run.record["data"]["users"] == USERS
    assert run.stopped is None
    assert json.loads((run.directory / "run.json").read_text(encoding="utf-8")) == run.record
    assert [line["query"] for line in run.events] == [row["query"] for row in run.ledger]
    assert all(row["cost"]["noise_multiplier"] > 0 for row in run.ledger)
    assert run.report is not None and run.report.name == "report.html"
    assert "epsilon 8" in repr(run) and "HR@10" in repr(run) and "simulator's view" in repr(run)


def test_plots_show_what_the_run_recorded(run: fedrec.Run) -> None:
    plots = run.plots()
    assert {"hr", "ndcg", "epsilon", "bytes", "seconds"} <= set(plots)
    spent = [line["epsilon_spent"] for line in run.events]
    assert list(plots["epsilon"].data[0].y) == spent
    assert plots["epsilon"].layout.shapes[0].y0 == 8.0


def test_plots_name_the_extra_that_they_need(run: fedrec.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotly.graph_objects", None)
    with pytest.raises(fedrec.ConfigError, match="plotly") as caught:
        run.plots()
    assert "[report]" in caught.value.action


def test_a_user_of_the_data_is_recommended_to(run: fedrec.Run, data: fedrec.Dataset) -> None:
    found = run.recommend("u4", top=5)
    met = plays().query("user_id == 'u4'")["item_id"].astype(str).tolist()
    assert [one.rank for one in found] == [1, 2, 3, 4, 5]
    assert not set(met) & {one.item for one in found}
    assert found == run.release.recommend(met, top=5)
    assert all(one.title == run.release.items[one.item] for one in found)
    with pytest.raises(fedrec.DataError, match="no such user"):
        run.recommend("nobody")


def test_the_shape_of_the_data_changes_nothing(run: fedrec.Run, tmp_path: Path) -> None:
    events, items = tmp_path / "plays.csv", tmp_path / "albums.csv"
    plays().to_csv(events, index=False)
    albums().to_csv(items, index=False)
    milliseconds = pl.from_pandas(plays()).with_columns(pl.col("timestamp") * 1000)
    known = arrays(run)
    for source in (
        fedrec.read_data(events, items=items),
        fedrec.read_data(milliseconds, items=pl.from_pandas(albums())),
    ):
        again = fedrec.simulate("defaults", source, overrides=SETTINGS)
        found = arrays(again)
        assert found.keys() == known.keys()
        assert all(np.array_equal(found[name], known[name]) for name in known)
        assert [row["cost"] for row in again.ledger] == [row["cost"] for row in run.ledger]


def test_the_command_line_makes_the_same_run(run: fedrec.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of files, a config file and the command, against frames, a preset and Python."""
    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([fedrec.cli.simulation.register], []))
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    from fedrec.api.configs import override_texts

    directory = tmp_path / "plays"
    directory.mkdir()
    plays().rename(columns={"user_id": "user", "item_id": "item"}).to_csv(directory / "interactions.csv", index=False)
    albums().rename(columns={"item_id": "item", "description": "text"}).to_csv(directory / "items.csv", index=False)
    changes = [word for text in override_texts(SETTINGS) for word in ("--set", text)]
    words = ["simulate", "defaults", "--data", str(directory), "--out", str(tmp_path / "out"), "--json", *changes]
    told = CliRunner().invoke(fedrec.cli.main.build(), words)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["quality"] == run.quality
    found, known = arrays(fedrec.Run(tmp_path / "out")), arrays(run)
    assert found.keys() == known.keys() and all(np.array_equal(found[name], known[name]) for name in known)


@pytest.mark.slow
def test_engine_grid_through_the_api(run: fedrec.Run, data: fedrec.Dataset, tmp_path: Path) -> None:
    overrides = {**SETTINGS, "run.engine": "grid", "training": {"rounds": 1, "negatives": 16}}
    told = Told()
    grid = fedrec.simulate("defaults", data, out=tmp_path / "grid", overrides=overrides, progress=told)
    assert grid.record["secure_aggregation"]["protocol"] == "secagg+"
    assert grid.directory == tmp_path / "grid" and any("devices" in stage for stage in told.stages)
    assert [check.name for check in fedrec.verify(grid) if not check.passed] == []
    assert len(grid.recommend("u4", top=3)) == 3
    assert len(list((tmp_path / "grid" / "stores").glob("*.sqlite"))) == USERS


class Told(SilentReporter):
    """Remembers the stages that it is told of."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)


def test_a_run_without_a_place_goes_when_nobody_holds_it(data: fedrec.Dataset, tmp_path: Path) -> None:
    made = fedrec.simulate("popularity-only", data, overrides={"speed.threads": 1})
    place = made.directory
    assert (place / "run.json").is_file() and made.privacy["epsilon_released"] is None
    saved = made.save(tmp_path / "kept")
    assert not place.exists()
    assert made.directory == saved and len(made.recommend("u1", top=2)) == 2
    with pytest.raises(fedrec.ConfigError, match="something here already"):
        made.save(saved)
    del made
    gc.collect()
    assert (saved / "run.json").is_file()
    second = fedrec.simulate("popularity-only", data, overrides={"speed.threads": 1})
    place = second.directory
    del second
    gc.collect()
    assert not place.exists()


def test_a_run_is_opened_again(run: fedrec.Run, data: fedrec.Dataset, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run.directory, tmp_path / "kept")
    again = fedrec.Run(tmp_path / "kept", data)
    assert again.record == run.record and again.ledger == run.ledger
    assert again.recommend("u2") == run.recommend("u2")
    without = fedrec.Run(tmp_path / "kept")
    with pytest.raises(fedrec.ConfigError, match="without its data"):
        without.recommend("u2")
    assert fedrec.open_release(tmp_path / "kept").id == run.release.id
    with pytest.raises(fedrec.DataError, match="no run ended here"):
        fedrec.Run(tmp_path)


def test_nothing_is_left_of_a_run_that_fails(
    data: fedrec.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(fedrec.DataError, match="at least 2 users"):
        alone = fedrec.read_data(plays().query("user_id == 'u1'"), items=albums())
        fedrec.simulate("popularity-only", alone)
    with pytest.raises(fedrec.DataError, match="no list of items"):
        fedrec.simulate("popularity-only", plays())
    with pytest.raises(fedrec.ConfigError, match="flower"):
        fedrec.simulate("popularity-only", data, overrides={"run.engine": "flower"})
    with pytest.raises(fedrec.DataError):
        fedrec.simulate("popularity-only", tmp_path / "gone.csv")
    assert list(tmp_path.iterdir()) == []


def test_the_plan_is_what_the_run_is_charged(run: fedrec.Run) -> None:
    planned = fedrec.plan("defaults", USERS, checks=False, overrides=SETTINGS)
    for figure in ("epsilon_released", "epsilon_server", "delta", "unit", "queries", "noise_multiplier"):
        assert planned["privacy"][figure] == run.privacy[figure], figure
    assert planned["accountants"] is None and planned["population"] == USERS


@pytest.mark.slow
def test_a_target_is_planned_without_a_config() -> None:
    found = fedrec.plan_target(1_000, rounds=10, epsilon=4.0, cohort=100)
    assert found["sampling"] == "poisson" and found["epsilon_released"] == pytest.approx(4.0, rel=1e-2)
    stricter = fedrec.plan_target(1_000, rounds=10, epsilon=2.0, cohort=100)
    assert stricter["noise_multiplier"] > found["noise_multiplier"]
    with pytest.raises(fedrec.PrivacyError, match="population"):
        fedrec.plan_target(1, rounds=10, epsilon=4.0)


def test_a_run_is_stated_and_verified(run: fedrec.Run, tmp_path: Path) -> None:
    assert all(check.passed for check in fedrec.verify(run))
    stated = fedrec.statement(run)
    assert stated.verified is True and f"Population: {USERS} users" in stated.page
    assert str(stated) == stated.page == stated._repr_markdown_()
    released = fedrec.statement(run.release)
    assert released.verified is None and "not checked" in released.page and "Population" not in released.page
    assert released.facts["epsilon_released"] == stated.facts["epsilon_released"]
    assert fedrec.statement(run.directory / "model") == released
    import shutil

    shutil.copytree(run.directory, tmp_path / "forged")
    record = json.loads((tmp_path / "forged" / "run.json").read_text(encoding="utf-8"))
    record["privacy"]["epsilon_released"] = 1.0
    (tmp_path / "forged" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert "epsilon" in [check.name for check in fedrec.verify(tmp_path / "forged") if not check.passed]
    assert fedrec.statement(tmp_path / "forged").verified is False


def test_a_claim_is_audited(run: fedrec.Run, data: fedrec.Dataset) -> None:
    small = {**SETTINGS, "training": {"rounds": 1, "negatives": 16}}
    found = fedrec.audit_privacy("defaults", data, canaries=32, epsilons=[3.0], overrides=small)
    (one,) = found["audits"]
    assert one["claim"]["epsilon"] == pytest.approx(3.0, rel=1e-2) and not found["violated"]
    assert found["canaries"] == 32
    of_run = fedrec.audit_privacy(run, canaries=16, overrides={"training.rounds": 1})
    assert of_run["audits"][0]["claim"]["epsilon"] == pytest.approx(8.0, rel=1e-2)
    with pytest.raises(fedrec.ConfigError, match="needs data"):
        fedrec.audit_privacy("defaults", epsilons=[3.0])
    with pytest.raises(fedrec.ConfigError, match="claims nothing"):
        fedrec.audit_privacy("defaults", data)
