"""Flower's own simulation runtime: one user a node beside slices of the population, and beside one vectorised pass.

Timed are training rounds as the server sees them, from the first message of a round to its sum.  Starting Flower and
Ray, ten seconds or so, is not in them, nor is the first round, in which processes read the catalogue and their slices.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.config import Config, from_tree
from fedrec.console import open_reporter
from fedrec.errors import ConfigError, ProtocolError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.queries.registry import QUERIES
from fedrec.simulation.bench.grid import features_of, request_of, study_of
from fedrec.simulation.bench.measuring import Machine, Timing, seconds_of
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.flower import run_flower
from fedrec.simulation.engines.grid_devices import place_devices
from fedrec.simulation.study import Study

_LAST_LINES: Final = 30


def run_slices(
    users: int, slices: Sequence[int], length: int, *, rounds: int = 3, app: Path = Path(), seconds: float = 600.0
) -> dict[str, Any]:
    """Measure training rounds of ``users`` users in several numbers of slices; as many as users: one user a node.

    Args:
        users: how many there are.
        slices: of each run the number of nodes, at most ``users``.
        length: about how many parameters the model has.
        rounds: measured, after one that is not.
        app: the directory of the app that Flower starts, which is the project's.
        seconds: a limit for each run.

    Returns:
        ``nodes``: by number of nodes seconds a round and users a second.  ``one_pass``: the same users in one
        vectorised pass of engine ``cohort``, which is the bound for one core.

    Raises:
        ConfigError: there is no app, or Flower's commands are missing. MissingExtraError: Ray is not installed.
        ProtocolError: a run does not end in time.
    """
    if not (app / "pyproject.toml").is_file():
        action = "Run it in the directory of fedrec's sources, or give that with --app"
        raise ConfigError("Flower starts apps out of a project, and here is none", value=str(app), action=action)
    features = features_of(length)
    study, config = study_of(users, features), _config(rounds + 1)
    found = {count: _measured(config, study, count, app.resolve(), seconds) for count in slices}
    values = parameters.flatten(build_model(config, features))
    cohort = CohortDevices(config, features, study.population)
    asked = [request_of(config, number, values, users, features) for number in range(1, rounds + 2)]
    one_pass = Timing(tuple(seconds_of(lambda r=one: cohort.aggregate(r, range(users))) for one in asked)[1:])  # type: ignore[misc]
    return {
        "users": users,
        "parameters": len(values),
        "nodes": {str(count): _facts(timing, users) for count, timing in found.items()},
        "one_pass": _facts(one_pass, users),
        "machine": Machine.here().facts(),
    }


def _facts(timing: Timing, users: int) -> dict[str, Any]:
    return {"seconds": timing.facts(), "users_per_second": users / timing.median}


def _config(rounds: int) -> Config:
    """The default tower without noise or masks, and nothing asked but its training rounds and popularity."""
    return from_tree(
        {
            "run": {"name": "bench"},
            "training": {"rounds": rounds},
            "collaborative": {"cooccurrence": {"enabled": False}, "scoring": {"weight": 0.0}},
            "secure_aggregation": {"protocol": "none"},
            "speed": {"threads": 1},
        }
    )


def _measured(config: Config, study: Study, count: int, app: Path, seconds: float) -> Timing:
    """The training rounds of a run in ``count`` nodes, all but the first."""
    users = len(study.dataset.users)
    slices = count if count < users else 0
    with tempfile.TemporaryDirectory() as directory, open_reporter(silent=True) as reporter:
        out = Path(directory)
        catalogue, stores = place_devices(study, out / "devices", reporter, slices=slices)
        said: dict[str, str | int | float] = {"config": config.model_dump_json(), "catalogue": str(catalogue)}
        said |= {"stores": str(stores), "slices": slices, "devices": count, "users": users, "out": str(out / "out")}
        log = run_flower(app, out / "home", said, devices=count, seconds=seconds, silence=seconds)
        if not (out / "out" / "server.json").is_file():
            last = "\n".join(log.splitlines()[-_LAST_LINES:])
            raise ProtocolError("Flower's run came to no end of its own", action=f"The last that it printed:\n{last}")
        lines = [json.loads(line) for line in (out / "out" / "events.jsonl").read_text("utf-8").splitlines()]
    return Timing(tuple(line["seconds"] for line in lines if QUERIES[line["query"]].sampled)[1:])
