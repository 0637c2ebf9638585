"""``flwr run .`` in Flower's simulation runtime: a shop is made, devices train on it together, and a report is left.

That is what a run does that was given no data of its own.  The server's app makes the shop (or reads ``data``), writes
catalogue and stores of devices into the run's directory, and runs `fedrec.simulation.run.simulate` with Flower's nodes
as its devices.  The nodes find their files in the same directory, which both sides know by the run's id.

Nothing of this is reached in a deployment: there the grid is another one, and a device runs installed code only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from flwr.app import Context
from flwr.serverapp import Grid

from fedrec.config import Config
from fedrec.config.run_config import config_of
from fedrec.console import PlainReporter, Reporter
from fedrec.errors import ConfigError
from fedrec.queries.secure_wire import PROTOCOL
from fedrec.server.app import wait_for
from fedrec.server.roster_files import read_roster
from fedrec.server.stragglers import StragglerPolicy
from fedrec.simulation.engines.enlist import ROSTER, enlist
from fedrec.simulation.engines.flower_client import SETTINGS, run_directory_of
from fedrec.simulation.engines.grid_devices import GridDevices, SecureGridDevices, place_devices
from fedrec.simulation.run import simulate
from fedrec.simulation.run_recorder import SimulatedDevices
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study
from fedrec.simulation.summary import show_run

_APP: Final = Path(__file__).resolve().parents[3]
_DEMO: Final = "fedrec/simulation/demo.toml"
_USERS: Final = 200


def run_bare(grid: Grid, context: Context) -> None:
    """Make the shop and the devices, train, and leave the report.

    Args:
        grid: of Flower's simulation runtime.
        context: of the run; ``data``, ``users``, ``config``, ``set``, single settings and ``out`` count.

    Raises:
        FedrecError: settings or data that do not fit, or a budget that cannot be met.
    """
    settings, reporter = context.run_config, PlainReporter()
    out = run_directory_of(settings, context.run_id)
    nodes = wait_for(grid, int(settings["devices"]), float(settings["wait"]))
    config = _config(settings, len(nodes))

    @contextmanager
    def flower(config: Config, study: Study, out: Path, reporter: Reporter) -> Iterator[SimulatedDevices]:
        yield _devices(grid, nodes, config, study, out, reporter)

    run = simulate(config, _data(settings, out, reporter), out, reporter=reporter, engine=flower)
    show_run(run, out)
    report = out / "report.html"
    print(f"Report: {report}" if report.exists() else f"Record: {out / 'run.json'}")


def _config(settings: Mapping[str, Any], nodes: int) -> Config:
    """The settings, or the demo's; without masks where there are fewer nodes than any device would mask among."""
    config = config_of({**settings, "config": settings["config"] or _DEMO}, _APP)
    config = config.model_copy(update={"run": config.run.model_copy(update={"engine": "flower"})})
    secure, privacy = config.secure_aggregation, config.privacy
    if secure.protocol == "auto" and nodes < secure.minimum_cohort:
        secure = secure.model_copy(update={"protocol": "none"})
        if privacy.noise_place == "auto":
            privacy = privacy.model_copy(update={"noise_place": "server"})
    return config.model_copy(update={"secure_aggregation": secure, "privacy": privacy})


def _data(settings: Mapping[str, Any], out: Path, reporter: Reporter) -> Path:
    if settings["data"]:
        return Path(str(settings["data"]))
    shop, users = out / "shop", int(settings["users"]) or _USERS
    if not shop.exists():
        reporter.stage(f"Making a shop for {users:,} users")
        write_shop(shop, users=users, seed=0, progress=reporter.progress)
    return shop


def _devices(
    grid: Grid, nodes: list[int], config: Config, study: Study, out: Path, reporter: Reporter
) -> GridDevices | SecureGridDevices:
    users = len(study.dataset.users)
    if len(nodes) > users:
        action = "Have fewer: --federation-config num-supernodes=N, or more users"
        raise ConfigError("there are more nodes than users", value=len(nodes), action=action)
    slices = len(nodes) if len(nodes) < users else 0
    catalogue, stores = place_devices(study, out, reporter, slices=slices)
    said = {"config": config.model_dump_json(), "catalogue": str(catalogue), "stores": str(stores), "slices": slices}
    digest, policy = study.features.digest(), StragglerPolicy()
    if config.secure_aggregation.protocol == PROTOCOL:
        said["roster"] = str(enlist(stores))
    (out / SETTINGS).write_text(json.dumps(said), encoding="utf-8")
    if config.secure_aggregation.protocol != PROTOCOL:
        return GridDevices(grid, nodes, catalogue=digest, users=users, policy=policy)
    roster = read_roster(stores / ROSTER)
    return SecureGridDevices(grid, nodes, catalogue=digest, roster=roster, config=config, users=users, policy=policy)
