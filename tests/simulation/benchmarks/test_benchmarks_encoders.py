"""The tables of encoders and of scale: every row asks what its name says, and none spends on what it does not use."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fedrec.config import Config, load
from fedrec.queries.plan import costs_of
from fedrec.simulation.privacy import sweep_runs
from simulations.benchmarks import encoders, scale

TRAINED = {"  trained tower in the kernel", "  trained tower in the kernel ", "  trained tower beside it"}


def config_of(name: str) -> Config:
    return load(encoders.CONFIG, encoders.ROWS[name])


@pytest.mark.parametrize("name", encoders.ROWS)
def test_a_row_asks_what_its_name_says(name: str) -> None:
    config = config_of(name)
    spent = {cost.query: cost for cost in costs_of(config, 2_000)}
    assert ("training" in spent) == (name in TRAINED or name == "trained tower alone")
    assert ("factors" in spent) == (not name.endswith("alone"))
    assert config.model.tower == ("tower" in name)
    assert ("tower" in config.collaborative.prior.modalities) == ("in the kernel" in name)
    assert config.collaborative.scoring.weight == (0.8 if "beside" in name else 0.0 if "alone" in name else 1.0)


def test_an_untrained_tower_changes_nothing_of_what_is_spent() -> None:
    for row, base in {
        "  untrained tower in the kernel ": "closed form",
        "  untrained tower beside it": "closed form",
    }.items():
        assert costs_of(config_of(row), 2_000) == costs_of(config_of(base), 2_000)


@pytest.mark.slow
def test_shops_and_runs_of_the_scale_study_are_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scale, "SHOWN", {"closed form": "closed form", "  trained tower in the kernel ": "trained"})
    words = ["--out", tmp_path, "--users", 30, "--items", 150, "--epsilon", 8, "--set", "training.rounds=1"]
    monkeypatch.setattr(sys, "argv", ["", *map(str, words)])
    scale.main()
    text = (tmp_path / "scale.md").read_text(encoding="utf-8")
    assert "| 30 | 8 | closed form |" in text and "| 30 | 8 | trained |" in text
    runs = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/run.json")]
    assert len(runs) == 2
    assert all(run["quality"]["cold-items"] is not None for run in runs)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr(sweep_runs, "simulate", never)
    monkeypatch.setattr(scale, "write_shop", never)
    scale.main()
    assert (tmp_path / "scale.md").read_text(encoding="utf-8") == text
