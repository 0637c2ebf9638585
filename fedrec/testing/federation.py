"""A small federation to hold parts to their contracts in: a shop of a few users, and runs over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fedrec.config import Config, from_tree
from fedrec.config.presets import with_preset
from fedrec.console import open_reporter
from fedrec.privacy.ledger import Ledger
from fedrec.queries.plan import budget_of
from fedrec.server.results import Devices, RoundEvent, RunResult
from fedrec.server.run import FederatedRun
from fedrec.server.state import ServerState
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare

USERS: Final = 20
ITEMS: Final = 150
BASE: Final[Mapping[str, Any]] = {
    "run": {"name": "contract", "seed": 3, "reproducible": True},
    "content": {"modalities": ["text", "attributes"], "text": {"dimension": 8, "vocabulary": 256}},
    "model": {"dimension": 8, "tower": False, "notes": True},
    "collaborative": {
        "popularity": False,
        "cooccurrence": {"enabled": False},
        "scoring": {"weight": 0.0},
    },
    "training": {"rounds": 2, "optimiser": "sgd", "learning_rate": 1.0, "negatives": 16, "positives": 4},
    "privacy": {"epsilon": 8.0, "delta": 1e-3, "noise_place": "server"},
    "secure_aggregation": {"protocol": "none"},
    "evaluation": {"every": 0},
    "speed": {"threads": 1},
}


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings, the second above the first."""
    tree = dict(low)
    for name, value in high.items():
        below = tree.get(name)
        tree[name] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return tree


def settings(tree: Mapping[str, Any], unit: str = "user") -> Config:
    """The settings of a contract's runs, with those of ``tree`` above them, for one privacy unit.

    Raises:
        ConfigError: they do not go together.
    """
    base = merged(BASE, {"privacy": {"unit": unit}, "model": {"notes": unit == "user"}})
    return with_preset(from_tree(merged(base, tree)))


def make_study(directory: Path) -> Study:
    """A shop of `USERS` users and `ITEMS` items, encoded."""
    write_shop(directory, users=USERS, items=ITEMS, seed=1)
    with open_reporter(silent=True) as reporter:
        return prepare(settings({"model": {"tower": True}}), directory, reporter)


@contextmanager
def opened_run(
    config: Config,
    study: Study,
    out: Path,
    *,
    devices: Devices | None = None,
    observe: Callable[[RoundEvent], None] = lambda event: None,
) -> Iterator[FederatedRun]:
    """A run with durable state in ``out``, over devices or over a cohort in this process."""
    out.mkdir(parents=True, exist_ok=True)
    devices = CohortDevices(config, study.features, study.population) if devices is None else devices
    with (
        Ledger.open(out / "ledger.sqlite", budget_of(config, devices.users)) as ledger,
        ServerState(out / "server.sqlite", "a contract's run") as state,
    ):
        yield FederatedRun(config, study.features, devices, ledger, state, observe)


def run(config: Config, study: Study, out: Path, **named: Any) -> RunResult:
    """A whole run; named arguments as of `opened_run`."""
    with opened_run(config, study, out, **named) as opened:
        return opened.run()
