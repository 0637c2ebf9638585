"""The server's Flower app: it waits for devices, and runs.

Its run-config keys, all declared in ``pyproject.toml`` with their defaults, since Flower overrides none that is not:

``manifest``: a file that `fedrec manifest sign` wrote; settings and the number of users come out of it, and catalogue,
roster and code must be those that it names.  ``catalogue``: directory of features (`save_features`).  ``roster``: a
file that `fedrec roster sign` wrote.  ``out``: directory of what the run leaves.  ``devices``: wait until so many nodes
are there (0 = one).  ``wait``: for so many seconds at most.  ``patience``: seconds after which a device that was asked
counts as silent.  ``grace``: once enough devices have answered, another one may take so many times longer than the
slowest of these, and ten seconds in any case.  In simulations only, in place of a manifest: ``config``, ``set`` and
single settings (see `fedrec.config.run_config`), and ``users``, how many stand behind the nodes (0 = one each).

The server checks for its own sake what it read, so that a mistake is found before devices are asked.  Nobody relies on
it: each device holds what it is asked to a manifest of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedrec.config import Config, with_protocol
from fedrec.config.presets import with_preset
from fedrec.config.run_config import changes_of, config_of
from fedrec.config.simulated import VARIABLE, is_simulated, refuse_reproducible
from fedrec.errors import ConfigError, FedrecError
from fedrec.queries.run_manifest import RunManifest, read_manifest
from fedrec.queries.run_manifest_words import trusted
from fedrec.secagg.roster import Roster
from fedrec.server.federate import federate, load_server_catalogue
from fedrec.server.flower_devices import FlowerDevices
from fedrec.server.roster_files import read_roster
from fedrec.server.run_marks import marked_run
from fedrec.server.secure_devices import SecureDevices
from fedrec.server.stragglers import StragglerPolicy

_log = logging.getLogger(__name__)
_APP: Final = Path(__file__).resolve().parent.parent.parent

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one federation. A FedrecError ends it, with its text in the run's log and in ``failure.json``."""
    settings = context.run_config
    try:
        with marked_run(_directory(settings, "out")):
            _run(grid, settings)
    except FedrecError as error:
        _log.error("the run ended: %s", error)
        raise


def _run(grid: Grid, settings: Mapping[str, Any]) -> None:
    manifest = _manifest(settings)
    config = _config(settings, manifest)
    refuse_reproducible(config, simulated=is_simulated())
    print(trusted(config))
    server_catalogue = load_server_catalogue(_directory(settings, "catalogue"))
    if manifest is not None:
        manifest.check_catalogue(server_catalogue.features.digest())
    out = _directory(settings, "out")
    devices = _devices(grid, config, settings, server_catalogue.features.digest(), manifest)
    # What is printed is what `flwr run --stream` shows.
    record = federate(config, server_catalogue, devices, out, print, manifest=manifest)
    if record["stopped"] is not None:
        _log.warning("the privacy budget ended before the run; the release is within it: %s", record["stopped"])


def _manifest(settings: Mapping[str, Any]) -> RunManifest | None:
    """The run's manifest, made for this code; None in a simulation that has none."""
    if settings["manifest"]:
        manifest = read_manifest(Path(str(settings["manifest"])))
        manifest.check_code()
        return manifest
    if is_simulated():
        return None
    raise ConfigError(
        "a run is what the publisher signed, and this one names no manifest",
        action=f"Start with --run-config 'manifest=\"FILE\"'; a simulation has {VARIABLE}=1 in its environment",
    )


def _config(settings: Mapping[str, Any], manifest: RunManifest | None) -> Config:
    if manifest is not None:
        if settings["config"] or changes_of(settings):
            action = "Leave config, set and single settings out, or leave manifest out"
            raise ConfigError("settings come out of the manifest", action=action)
        return manifest.config
    config = with_protocol(with_preset(config_of(settings, _APP)), "flower")
    # Whatever engine the settings were written for: a release says which it was.
    return config.model_copy(update={"run": config.run.model_copy(update={"engine": "flower"})})


def _devices(
    grid: Grid, config: Config, settings: Mapping[str, Any], catalogue: str, manifest: RunManifest | None
) -> FlowerDevices:
    secure = config.secure_aggregation
    roster = _roster(settings, manifest) if manifest is not None or secure.protocol != "none" else None
    nodes = wait_for(grid, int(settings["devices"]), float(settings["wait"]))
    users = int(settings["users"]) if manifest is None else manifest.users
    policy = StragglerPolicy(float(settings["patience"]), float(settings["grace"]))
    if secure.protocol == "none":
        return FlowerDevices(grid, nodes, catalogue=catalogue, users=users, policy=policy, dropout=secure.dropout)
    assert roster is not None
    return SecureDevices(
        grid, nodes, catalogue=catalogue, roster=roster, config=config, users=users, policy=policy, manifest=manifest
    )


def _roster(settings: Mapping[str, Any], manifest: RunManifest | None) -> Roster:
    if not settings["roster"]:
        raise ConfigError(
            "a run needs the roster of its devices",
            action="Make one with fedrec roster sign, and start with --run-config 'roster=\"FILE\"'",
        )
    roster = read_roster(Path(str(settings["roster"])))
    if manifest is not None:
        manifest.check_roster(roster)
    return roster


def wait_for(grid: Grid, count: int, seconds: float, *, pause: float = 0.25) -> list[int]:
    """The nodes of a grid, as soon as there are ``count`` (at least one).

    Raises:
        ConfigError: there are too few after so many seconds.
    """
    end = time.monotonic() + seconds
    while len(nodes := list(grid.get_node_ids())) < max(1, count):
        if time.monotonic() >= end:
            action = "Start more SuperNodes, set devices to fewer, or wait to longer"
            raise ConfigError(f"{max(1, count)} devices are wanted", value=len(nodes), action=action)
        time.sleep(pause)
    return nodes


def _directory(settings: Mapping[str, Any], name: str) -> Path:
    if not settings[name]:
        raise ConfigError(
            f"the run-config needs {name}, a directory", action=f"Start with --run-config '{name}=\"...\"'"
        )
    return Path(str(settings[name]))
