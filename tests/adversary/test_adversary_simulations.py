"""What a simulation says of itself: its release holds no seed, and no app takes noise from one.

Each attack is tried with its defence, and again with the defence switched off, where it must succeed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict
from hostile_release_cases import SEED

from fedrec.api.privacy import statement
from fedrec.client.device import device_of
from fedrec.client.ranker import Ranker
from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.errors import ConfigError, FedrecError
from fedrec.release.bundle import read_release
from fedrec.server import app as server_app
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.summary import show_run


def simulated(tmp_path: Path, out: str) -> Path:
    shop = tmp_path / "shop"
    if not shop.exists():
        write_shop(shop, users=20, items=140, seed=3)
    tree = {
        "run": {"seed": SEED, "name": "pretend"},
        "model": {"tower": False},
        "privacy": {"epsilon": 8.0},
        "evaluation": {"every": 0},
    }
    simulate(from_tree(tree), shop, tmp_path / out, reporter=SilentReporter())
    return tmp_path / out


def test_a_release_holds_no_seed_and_says_that_it_is_a_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = simulated(tmp_path, "out")
    release = run / "model"
    for path in release.iterdir():
        assert str(SEED).encode() not in path.read_bytes(), path.name
        assert SEED.to_bytes(8, "little") not in path.read_bytes(), path.name
    read = read_release(release).contents
    assert "seed" not in read.config["run"]
    Ranker(read_release(release))
    says = "simulation: no protection"
    assert says in (release / "MODEL_CARD.md").read_text().splitlines()[0]
    assert says in (release / "privacy.json").read_text().splitlines()[0]
    assert (release / "privacy.json").read_text().startswith('{"about":"' + says)
    for of in (run, release):
        assert says in statement(of).page.splitlines()[0]
    body = (run / "report.html").read_text().split("<body>")[1]
    assert says in body.strip().splitlines()[0]
    show_run(json.loads((run / "run.json").read_text()), run)
    assert says in capsys.readouterr().out.splitlines()[0]
    monkeypatch.setattr("fedrec.server.publish.released_settings", lambda config: config.model_dump(mode="json"))
    assert read_release(simulated(tmp_path, "again") / "model").contents.config["run"]["seed"] == SEED


# Apps.

REPRODUCIBLE = Config.model_validate({"run": {"reproducible": True}}).model_dump_json()


def test_neither_app_starts_with_noise_from_a_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    run_config = {"config": REPRODUCIBLE, "catalogue": "nowhere", "stores": "x", "simulation": True}
    own = {"store": "x", "partition-id": 0, "num-partitions": 2}
    # What a run's config says is not even looked at (a manifest that says so: tests/client/test_client_manifest.py).
    with pytest.raises(ConfigError, match="starts only with its own"):
        device_of(run_config, own)
    for word in ("true", 1, "", False):
        with pytest.raises(ConfigError, match="starts only with its own"):
            device_of(run_config, {**own, "simulation": word})
    grid = InProcessGrid(lambda message, context: message, {}, run_id=1)
    context = Context(1, 1, {}, RecordDict(), {**run_config, "manifest": "", "out": "x", "devices": 1, "wait": 0})
    with grid, pytest.raises(ConfigError, match="names no manifest"):
        server_app.app(grid, context)
    # A simulation says so where the server has no say; then both go on, to the catalogue that there is not.
    assert device_of(run_config, {**own, "simulation": True}).device_context.accepted.run.reproducible
    monkeypatch.setenv("FEDREC_SIMULATION", "1")
    assert device_of(run_config, own).device_context.accepted.run.reproducible
    with grid, pytest.raises(FedrecError, match="catalogue"):
        server_app.app(grid, context)
