"""Training on central data for release: the same as a simulation, but nobody can repeat its noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

import fedrec
import fedrec.cli.main

ITEMS, USERS = 40, 40
SETTINGS: dict[str, Any] = {
    "run.seed": 987654321,
    "content.modalities": ["text", "attributes"],
    "content.text.dimension": 8,
    "model.dimension": 8,
    "training": {"rounds": 1, "negatives": 16},
    "privacy.epsilon": 4.0,
    "speed.threads": 1,
}


@pytest.fixture(scope="module")
def data() -> fedrec.Dataset:
    kinds = ["jazz" if place % 2 else "rock" for place in range(ITEMS)]
    items = pd.DataFrame({"item_id": range(ITEMS), "title": kinds, "genres": kinds})
    rows = [(user, (2 * play + 7 * user) % ITEMS, play) for user in range(USERS) for play in range(6)]
    return fedrec.read_data(pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]), items=items, name="plays")


@pytest.fixture(scope="module")
def trained(data: fedrec.Dataset, tmp_path_factory: pytest.TempPathFactory) -> fedrec.Run:
    return fedrec.train("defaults", data, out=tmp_path_factory.mktemp("trained"), overrides=SETTINGS)


def arrays(run: fedrec.Run) -> dict[str, np.ndarray]:
    files = sorted((run.directory / "model").glob("*.safetensors"))
    return {f"{path.name}/{name}": array for path in files for name, array in load_file(path).items()}


def test_the_release_promises_something_and_its_ledger_bears_it_out(trained: fedrec.Run) -> None:
    privacy = json.loads((trained.directory / "model" / "privacy.json").read_text())
    assert privacy["epsilon_released"] <= 4.0
    assert "simulation" not in json.dumps(privacy)
    assert "simulation" not in (trained.directory / "model" / "MODEL_CARD.md").read_text().lower()
    assert all(check.passed for check in fedrec.verify(trained))
    words = fedrec.statement(trained).page
    assert fedrec.statement(trained).verified
    assert "the server is trusted with exact sums" in words
    assert "no protection" not in words


def test_no_seed_and_no_exact_quality_is_in_the_release(trained: fedrec.Run) -> None:
    assert trained.quality["loo-99neg"]["hr@10"] is not None
    for path in (trained.directory / "model").rglob("*"):
        if path.is_file():
            assert b"987654321" not in path.read_bytes(), path.name
            if path.suffix in (".json", ".md"):
                assert "hr@10" not in path.read_text().lower(), path.name


def test_noise_is_repeated_by_a_simulation_and_never_by_training(
    data: fedrec.Dataset, trained: fedrec.Run, tmp_path: Path
) -> None:
    again = fedrec.train("defaults", data, out=tmp_path / "again", overrides=SETTINGS)
    simulated = [fedrec.simulate("defaults", data, overrides=SETTINGS) for _ in range(2)]
    first, second = arrays(trained), arrays(again)
    name = "behaviour.safetensors/popularity"
    assert np.array_equal(arrays(simulated[0])[name], arrays(simulated[1])[name])
    assert not np.array_equal(first[name], second[name])
    assert not np.array_equal(first[name], arrays(simulated[0])[name])


def test_a_finished_run_goes_on_without_paying_twice(data: fedrec.Dataset, trained: fedrec.Run) -> None:
    before, spent = arrays(trained), trained.privacy["epsilon_released"]
    again = fedrec.train("defaults", data, out=trained.directory, overrides=SETTINGS)
    assert again.privacy["epsilon_released"] == spent
    after = arrays(again)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"privacy.epsilon": None}, "needs a budget"),
        ({"run.reproducible": True}, "follows from a seed"),
        ({"run.engine": "grid"}, "central data"),
        ({"audit.canaries": 100}, "without canaries"),
    ],
)
def test_what_cannot_be_shipped_is_refused(
    data: fedrec.Dataset, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(fedrec.ConfigError, match=words):
        fedrec.train("defaults", data, out=tmp_path / "run", overrides={**SETTINGS, **changes})
    assert not (tmp_path / "run").exists()


def test_a_simulation_does_not_take_a_wish_for_secret_noise_in_silence(data: fedrec.Dataset) -> None:
    with pytest.raises(fedrec.ConfigError, match="fedrec train"):
        fedrec.simulate("defaults", data, overrides={**SETTINGS, "run.reproducible": False})


def test_the_command_asks_for_a_budget(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user,item\na,1\n")
    words = ["train", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--json"]
    told = CliRunner().invoke(fedrec.cli.main.build(), words)
    assert told.exit_code == 2
    assert "needs a budget" in json.loads(told.stdout)["error"]["what"]
    assert not (tmp_path / "out").exists()
