"""``flwr run .`` with nothing else: a shop, devices, a report; and what a run-config changes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict

from fedrec.client.app import app as served
from fedrec.config.run_config import OWN_KEYS, changes_of, config_of
from fedrec.config.simulated import VARIABLE
from fedrec.errors import ConfigError
from fedrec.simulation.engines import flower, flower_client
from fedrec.simulation.engines.flower_app import run_bare
from fedrec.simulation.engines.flower_client import SimulatedClientApp
from fedrec.simulation.engines.grid import InProcessGrid

ROOT = Path(__file__).resolve().parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
DECLARED: dict[str, Any] = PROJECT["tool"]["flwr"]["app"]["config"]


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """As Flower hands it to an app."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


@pytest.mark.slow
@pytest.mark.flower
def test_a_bare_run_of_a_clone_downloads_nothing_and_leaves_a_report(flower_app: Path, tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    environment = flower.environment_of(home)
    # As whoever cloned it has it: Flower makes an environment for the run, but what uv would fetch it cannot.
    del environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"]
    ports = {f"FLWR_LOCAL_{name}_PORT": str(flower.free_port()) for name in ("SUPERLINK_HTTP_API", "CONTROL_API")}
    environment |= {**ports, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "uv")}
    environment.pop(VARIABLE, None)
    changes = f"users=40 training.rounds=1 set='evaluation.every=0 collaborative.cooccurrence.items=64' out='{out}'"
    command = [flower.command_of("flwr"), "run", str(flower_app), "--stream", "--run-config", changes]
    try:
        # Flower gives its SuperLink fifteen seconds to come up, which a busy machine may not have.
        for _ in range(3):
            log = flower.run_command(command, environment, seconds=240).stdout
            if "Failed to start local SuperLink" not in log:
                break
    finally:
        flower.end_all_of(home)
    assert (out / "report.html").is_file(), log
    assert "No additional application dependencies needed installation" in log
    run = json.loads((out / "run.json").read_text())
    assert run["data"]["users"] == 40
    assert run["cost"]["rounds"] == 1
    assert run["privacy"]["epsilon_released"] == pytest.approx(8.0, abs=0.1)
    assert flower.processes_of(home) == []


@pytest.mark.slow
def test_with_nodes_enough_it_masks_and_devices_share_the_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flower_client, "in_simulation_runtime", lambda: True)
    monkeypatch.setenv(VARIABLE, "1")
    changed = {"users": 24, "training.rounds": 1, "out": str(tmp_path / "out"), "wait": 0}
    quick = {"collaborative": {"cooccurrence": {"enabled": False}, "scoring": {"weight": 0}}, "privacy": {"epsilon": 8}}
    settings = {**flat(DECLARED), **changed, "config": json.dumps(quick), "set": "evaluation.every=0"}
    contexts = {
        place: Context(1, place, {"partition-id": str(place), "num-partitions": "20"}, RecordDict(), {**settings})
        for place in range(20)
    }
    client = SimulatedClientApp(served)

    def answer(message: Message, context: Context) -> Message:
        return client(message, context)

    with InProcessGrid(answer, contexts, run_id=1) as grid:
        run_bare(grid, Context(1, 99, {}, RecordDict(), {**settings}))
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["secure_aggregation"]["protocol"] == "secagg+"
    assert run["secure_aggregation"]["survivors"] == 20
    assert run["privacy"]["epsilon_server"] == pytest.approx(8.0, abs=0.1)
    assert "fedrec" not in contexts[0].run_config["stores"]  # what a node is told does not change its own context


def test_outside_of_the_simulation_runtime_a_device_uses_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    told = []

    class Served:
        def __call__(self, message: Message, context: Context) -> Message:
            told.append(context)
            return message

    context = Context(1, 2, {}, RecordDict(), {"catalogue": ""})
    SimulatedClientApp(Served())(None, context)  # type: ignore[arg-type]
    assert told == [context]
    assert told[0] is context
    assert os.environ.get(VARIABLE) is None


def test_single_settings_and_set_change_what_config_says(tmp_path: Path) -> None:
    declared = flat(DECLARED)
    assert set(OWN_KEYS) < set(declared)
    assert changes_of(declared) == []
    (tmp_path / "own.toml").write_text("[training]\nrounds = 9\nlearning_rate = 0.5\n")
    said = {**declared, "config": "own.toml", "set": "training.rounds=4 run.seed=7", "training.rounds": 5}
    config = config_of(said, tmp_path)
    assert (config.training.rounds, config.training.learning_rate, config.run.seed) == (5, 0.5, 7)
    assert config_of(declared, tmp_path).training.model_fields_set == set()


@pytest.mark.parametrize("text", ["training.rounds='4", "training.rounds", "trainig.rounds=4"])
def test_settings_that_cannot_be_read_are_refused_in_words(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        config_of({"set": text}, tmp_path)


def test_uv_makes_an_environment_of_this_project_without_any_download(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    command = [sys.executable, "-m", "uv", "sync", "--offline", "--python", sys.executable]
    environment = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv"), "UV_PROJECT_ENVIRONMENT": str(tmp_path / "env")}
    done = subprocess.run(
        [*command, "--no-install-project", "--no-install-package", "flwr", "--inexact"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Resolved 1 package" in done.stderr
    lists = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    wanted = {re.split(r"[\s\[<>=!~;@]", one)[0].lower() for names in lists for one in names}
    assert set(PROJECT["tool"]["uv"]["exclude-dependencies"]) == wanted
