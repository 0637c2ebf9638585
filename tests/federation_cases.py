"""A small federation: a shop of a few users, settings that ask everything, and a run over any devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import query_cases
import torch

from fedrec.client.device import Device, device_of
from fedrec.config import Config, from_tree
from fedrec.console import open_reporter
from fedrec.privacy.ledger import Ledger
from fedrec.queries.plan import budget_of
from fedrec.queries.request import Request
from fedrec.queries.wire import Envelope
from fedrec.server.results import Devices, RoundEvent, RunResult
from fedrec.server.run import FederatedRun
from fedrec.server.state import ServerState
from fedrec.simulation.engines.grid_devices import place_devices
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare

USERS, ITEMS = 24, 150
EPSILON = 8.0
SETTINGS: Mapping[str, Any] = {
    "run": {"name": "small", "seed": 3, "reproducible": True},
    "content": {"text": {"dimension": 16, "vocabulary": 512}, "image": {"dimension": 8}},
    "model": {"dimension": 8, "notes": True, "photos": True},
    "collaborative": {"cooccurrence": {"normalise": 1.0}},
    "training": {"rounds": 3, "optimiser": "sgd", "learning_rate": 1.0, "negatives": 32},
    "privacy": {
        "epsilon": EPSILON,
        "noise_place": "server",
        "shares": {"popularity": 0.1, "cooccurrence": 0.4, "training": 0.4, "metrics": 0.1},
    },
    # A fine grid, so that engines can be held to each other closely; how few bits are enough is tested elsewhere.
    "secure_aggregation": {"protocol": "none", "resolution_bits": 20, "rotate": False},
    "evaluation": {"private_metrics": True},
    "speed": {"threads": 1},
}


def settings(**sections: Mapping[str, Any]) -> Config:
    """The settings above with some keys changed, section by section."""
    tree = {name: dict(section) for name, section in SETTINGS.items()}
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section}
    return from_tree(tree)


def make_study(shop: Path) -> Study:
    torch.set_num_threads(1)
    write_shop(shop, users=USERS, items=ITEMS, seed=1)
    with open_reporter(silent=True) as reporter:
        return prepare(settings(), shop, reporter)


def place(study: Study, out: Path) -> tuple[Path, Path]:
    """Catalogue and stores of a study's devices."""
    with open_reporter(silent=True) as reporter:
        return place_devices(study, out, reporter)


def run(
    config: Config,
    study: Study,
    devices: Devices,
    out: Path,
    observe: Callable[[RoundEvent], None] = lambda step: None,
) -> RunResult:
    """A run over any devices, with durable state in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    budget = budget_of(config, devices.users)
    with (
        Ledger.open(out / "ledger.sqlite", budget) as ledger,
        ServerState(out / "server.sqlite", "a run of tests") as state,
    ):
        return FederatedRun(config, study.features, devices, ledger, state, observe).run()


def device(config: Config, catalogue: Path, store: Path) -> Device:
    run_config = {"config": config.model_dump_json(), "catalogue": str(catalogue)}
    return device_of(run_config, {"store": str(store), "simulation": True})


def popularity_question(config: Config, study: Study, users: int = USERS) -> Request:
    return query_cases.popularity(config, len(study.features), users)


def envelope(request: Request, study: Study, session: str = "first") -> Envelope:
    return Envelope(request, session, study.features.digest())
