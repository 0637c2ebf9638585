"""Engine ``grid``: a study as devices with stores of their own, each behind a node of a grid in this process."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flwr.app import Context, Message, RecordDict

from fedrec.client.app import app
from fedrec.client.shared_work import shared_work
from fedrec.config import Config, with_protocol
from fedrec.config.simulated import NODE_KEY
from fedrec.console import Reporter
from fedrec.content.features import save_features
from fedrec.cores import Cores
from fedrec.data.stores import write_stores
from fedrec.errors import StoreError
from fedrec.queries.secure_wire import PROTOCOL
from fedrec.server.flower_devices import FlowerDevices
from fedrec.server.roster_files import read_roster
from fedrec.server.secure_devices import SecureDevices
from fedrec.server.stragglers import StragglerPolicy
from fedrec.simulation.engines.enlist import ROSTER, enlist
from fedrec.simulation.engines.grid import InProcessGrid, Spy
from fedrec.simulation.engines.grid_workers import WorkerGrid
from fedrec.simulation.study import Study

_FACTS: Final = "devices.json"
_WORTH_PROCESSES: Final = 200  # devices: starting a process takes as long as a round of them
# Simulated devices are always there: none is given up because this machine was busy with something else.
_PATIENT: Final = StragglerPolicy(shortest=StragglerPolicy.patience)


class _Opaque:
    """What a simulation asks of its devices beyond what a server may."""

    @property
    def last_update(self) -> None:
        """Loss and clipped rows stay on the devices: there is no message for them."""
        return None


class GridDevices(_Opaque, FlowerDevices):
    """Devices behind a grid, as a simulation wants them."""


class SecureGridDevices(_Opaque, SecureDevices):
    """The same, masked."""


@contextmanager
def grid_devices(
    config: Config, study: Study, out: Path, reporter: Reporter, *, spy: Spy | None = None
) -> Iterator[GridDevices | SecureGridDevices]:
    """The devices of a study, one a user, in the order of its users.

    Args:
        config: the settings, which every device accepts; ``auto`` means secure aggregation here.
        study: the data.
        out: where ``catalogue`` and ``stores`` go. Those of an earlier call for the same data are used again.
        reporter: is told how many stores are written.
        spy: sees every message.

    Raises:
        StoreError: the directory holds the devices of other data.
        ConfigError: secure aggregation is asked of too few devices.
    """
    config = with_protocol(config, "grid")
    secure = config.secure_aggregation.protocol == PROTOCOL
    catalogue, stores = place_devices(study, out, reporter)
    run_config = {"config": config.model_dump_json(), "catalogue": str(catalogue), "stores": str(stores)}
    if secure:
        run_config["roster"] = str(enlist(stores))
    run = secrets.randbits(63)
    count = len(study.dataset.users)
    nodes_configs = [{"partition-id": place, "num-partitions": count, NODE_KEY: True} for place in range(count)]
    contexts = {
        place: Context(run, place, {**nodes_configs[place]}, RecordDict(), {**run_config}) for place in range(count)
    }
    with _opened(contexts, run, workers_of(config, count), spy) as grid:
        nodes, digest = grid.get_node_ids(), study.features.digest()
        if secure:
            roster = read_roster(stores / ROSTER)
            yield SecureGridDevices(grid, nodes, catalogue=digest, roster=roster, config=config, policy=_PATIENT)
        else:
            yield GridDevices(grid, nodes, catalogue=digest, policy=_PATIENT)


@contextmanager
def _opened(contexts: Mapping[int, Context], run: int, workers: int, spy: Spy | None) -> Iterator[InProcessGrid]:
    """The grid: in this process, or with its nodes in several."""
    if workers > 1:
        with WorkerGrid(answer, contexts, run_id=run, workers=workers, spy=spy) as grid:
            yield grid
    else:
        with shared_work(len(contexts)), InProcessGrid(answer, contexts, run_id=run, spy=spy) as grid:
            yield grid


def answer(message: Message, context: Context) -> Message:
    """What a device answers: as `fedrec.client.app` does, and by a name that another process can find."""
    return app(message, context)


def workers_of(config: Config, devices: int) -> int:
    """In how many processes so many devices answer: as ``speed.workers`` says, and never in more than there are."""
    return min(config.speed.workers or (Cores.here().usable if devices >= _WORTH_PROCESSES else 1), devices)


def place_devices(study: Study, out: Path, reporter: Reporter, *, slices: int = 0) -> tuple[Path, Path]:
    """Write what devices have: the catalogue, and a store a user. Returns both directories.

    ``slices``: in place of a store a user, so many stores, each of a slice of the population; see
    `fedrec.data.stores.slices_of` and, for what they are, docs/engines.md.

    Raises:
        StoreError: the directory holds the devices of other data.
    """
    catalogue, stores = out / "catalogue", out / "stores"
    users = len(study.dataset.users)
    facts = {"users": users, "catalogue": study.features.digest(), "study": study.fingerprint()}
    if slices:
        facts["slices"] = slices
    if not (stores / _FACTS).is_file():
        reporter.stage(f"Writing {slices or users:,} devices")
        if stores.exists():
            _clear(stores)
        save_features(study.features, study.encoders, catalogue)
        write_stores(study.dataset, study.split, stores, slices=slices, progress=reporter.progress)
        (stores / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
    elif json.loads((stores / _FACTS).read_text(encoding="utf-8")) != facts:
        raise StoreError("the directory holds the devices of other data", value=str(stores), action="Use another --out")
    return catalogue, stores


def _clear(stores: Path) -> None:
    """Remove what a call that was cut off left: stores, which nobody has used yet."""
    for path in stores.glob("*.sqlite*"):
        path.unlink()
