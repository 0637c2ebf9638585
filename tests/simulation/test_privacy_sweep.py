"""``fedrec privacy sweep``: all runs, each once; figures with their spread; a curve that shows them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.errors import ConfigError
from fedrec.simulation.privacy import sweep_runs
from fedrec.simulation.privacy.sweep_plot import svg
from fedrec.simulation.privacy.sweep_runs import epsilons_of
from fedrec.simulation.privacy.sweep_table import table_of
from fedrec.simulation.shop.generate import write_shop

RUNNER = CliRunner()
TOML = """
[run]
name = "small"
[model]
dimension = 4
[training]
rounds = 1
negatives = 16
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sweep")
    write_shop(directory / "shop", users=24, items=140, seed=3)
    (directory / "small.toml").write_text(TOML)
    return directory


def sweep(place: Path, out: str, *options: str) -> dict[str, Any]:
    words = ["privacy", "sweep", str(place / "small.toml"), "--data", str(place / "shop"), "--out", str(place / out)]
    result = RUNNER.invoke(build(), [*words, "--json", *options])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_sweep_runs_each_once_and_tells_mean_and_deviation(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--epsilon", "inf,2", "--seeds", "2", "--workers", "1"]
    found = sweep(place, "one", *options)
    assert [point["epsilon"] for point in found["points"]] == [2.0, None]
    for point in found["points"]:
        assert point["seeds"] == [0, 1]
        cell = point["quality"]["loo-99neg/hr@10"]
        one, other = cell["values"]
        assert cell["mean"] == pytest.approx((one + other) / 2)
        assert cell["deviation"] == pytest.approx(abs(one - other) / math.sqrt(2))
    assert found["points"][0]["epsilon_released"] == pytest.approx(2.0, rel=1e-3)
    assert found["points"][1]["epsilon_released"] is None
    out = place / "one"
    assert len(list((out / "runs").iterdir())) == 4
    assert "no noise" in (out / "sweep.md").read_text()
    assert "<svg" in (out / "sweep.html").read_text()
    assert "src=" not in (out / "sweep.html").read_text()
    ElementTree.fromstring((out / "sweep.svg").read_text())
    kept = json.loads((out / "sweep.json").read_text())
    assert kept["points"] == found["points"]

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr(sweep_runs, "simulate", never)
    monkeypatch.setattr(sweep_runs, "prepare", never)
    assert sweep(place, "one", *options)["points"] == found["points"]
    monkeypatch.undo()
    (out / "runs" / "epsilon-2-seed-1" / "run.json").unlink()
    assert sweep(place, "one", *options)["points"][0]["quality"] == found["points"][0]["quality"]


def test_runs_of_other_settings_are_not_taken_for_these(place: Path) -> None:
    sweep(place, "settings", "--epsilon", "inf", "--seeds", "1", "--workers", "1")
    words = ["privacy", "sweep", str(place / "small.toml"), "--data", str(place / "shop")]
    words += ["--out", str(place / "settings"), "--epsilon", "inf", "--seeds", "1", "--set", "training.negatives=17"]
    result = RUNNER.invoke(build(), words)
    assert isinstance(result.exception, ConfigError) or result.exit_code == ConfigError.exit_code


@pytest.mark.slow
def test_variants_are_curves_and_processes_give_the_same(place: Path) -> None:
    variants = ["--variant", "training.learning_rate=0.01", "--variant", "training.learning_rate=0.3 model.dimension=6"]
    options = ["--epsilon", "4", "--seeds", "1", *variants]
    side_by_side = sweep(place, "two", *options, "--workers", "2")
    one_by_one = sweep(place, "three", *options, "--workers", "1")
    names = [point["variant"] for point in side_by_side["points"]]
    assert names == ["training.learning_rate=0.01", "training.learning_rate=0.3 model.dimension=6"]
    for one, other in zip(side_by_side["points"], one_by_one["points"], strict=True):
        assert one["quality"] == other["quality"]


def _run(value: float | None, epsilon: float | None = 1.0) -> dict[str, Any]:
    quality = {protocol: {"hr@10": value, "ndcg@10": value} for protocol in ("loo-99neg", "loo-full")}
    privacy = {"epsilon_released": epsilon, "noise_multiplier": None}
    return {"quality": quality, "privacy": privacy, "cost": {"seconds": 1.0}, "baselines": {"popularity": None}}


def test_the_table_by_hand() -> None:
    results = [("", 1.0, 0, _run(0.2)), ("", 1.0, 1, _run(0.4)), ("", math.inf, 0, _run(0.5, None))]
    first, last = table_of("x", results)["points"]
    cell = first["quality"]["loo-99neg/ndcg@10"]
    assert cell["mean"] == pytest.approx(0.3)
    assert cell["deviation"] == pytest.approx(0.1 * math.sqrt(2))
    assert last["epsilon"] is None
    assert last["quality"]["loo-full/hr@10"]["deviation"] is None
    unknown = table_of("x", [("", 1.0, 0, _run(None))])
    assert unknown["points"][0]["quality"]["loo-full/hr@10"]["mean"] is None
    ElementTree.fromstring(svg(unknown, "loo-full/hr@10", "a <title> & more"))


def test_the_curve_rises_where_quality_does() -> None:
    results = [("", e, 0, _run(v)) for e, v in ((0.5, 0.1), (1.0, 0.2), (8.0, 0.4), (math.inf, 0.5))]
    root = ElementTree.fromstring(svg(table_of("x", results), "loo-99neg/ndcg@10", "t"))
    dots = [(float(e.get("cx", 0)), float(e.get("cy", 0))) for e in root.iter() if e.tag.endswith("circle")]
    assert dots == sorted(dots, key=lambda dot: dot[0])
    heights = [dot[1] for dot in dots]
    assert heights == sorted(heights, reverse=True)
    # on a logarithmic axis: 0.5 to 1 is a quarter of 0.5 to 8
    assert (dots[1][0] - dots[0][0]) / (dots[2][0] - dots[0][0]) == pytest.approx(0.25, abs=0.01)


def test_epsilons_are_read_strictly() -> None:
    assert epsilons_of("inf, 1,0.5,1") == [0.5, 1.0, math.inf]
    for text in ("", "a", "0,1", "-1", "nan"):
        with pytest.raises(ConfigError, match="epsilons"):
            epsilons_of(text)
