"""Devices as a deployment has them: a publisher, a roster, a signed manifest, and nodes that start with their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import federation_cases as cases
from flwr.app import Context, RecordDict

from fedrec.client.answer_time import NODE_KEY
from fedrec.client.device import Device, device_of
from fedrec.config import Config
from fedrec.content.feature_table import encoder_hashes
from fedrec.queries.run_manifest import RunManifest
from fedrec.queries.run_manifest_draft import make_manifest
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.roster import Roster
from fedrec.server.roster_files import read_roster
from fedrec.simulation.engines.enlist import enlist
from fedrec.simulation.study import Study


def deployed_settings(**sections: Mapping[str, Any]) -> Config:
    """The small federation's settings, without what only a simulation may have."""
    return cases.settings(**{**sections, "run": {"reproducible": False, **sections.get("run", {})}})


@dataclass(frozen=True)
class Deployment:
    """``publisher``: the key that the stores believe. ``stores``: one for each device, in the order of the users."""

    study: Study
    publisher: DeviceIdentity
    catalogue: Path
    roster_file: Path
    stores: tuple[Path, ...]
    manifest_file: Path
    counter: int = 1

    @classmethod
    def make(cls, study: Study, out: Path, config: Config) -> Deployment:
        catalogue, stores = cases.place(study, out)
        publisher = DeviceIdentity.fresh()
        roster_file = enlist(stores, publisher)
        files = tuple(sorted(stores.glob("*.sqlite")))
        made = cls(study, publisher, catalogue, roster_file, files, out / "manifest")
        made.sign(made.draft(config))
        return made

    @property
    def roster(self) -> Roster:
        return read_roster(self.roster_file)

    def draft(self, config: Config, counter: int = 1) -> RunManifest:
        encoders = encoder_hashes(self.catalogue)
        return make_manifest(config, self.study.features, self.roster, counter=counter, encoders=encoders)

    def sign(self, manifest: RunManifest) -> Deployment:
        """Put another manifest in the place of the one that there is."""
        self.manifest_file.write_bytes(manifest.sign(self.publisher))
        return replace(self, counter=manifest.counter)

    def node_config(self, place: int = 0) -> dict[str, str | int]:
        """What a device's own config says; its answers do not wait for their time."""
        files = {"manifest": self.manifest_file, "catalogue": self.catalogue, "roster": self.roster_file}
        return {**{name: str(path) for name, path in files.items()}, "store": str(self.stores[place]), NODE_KEY: 0}

    def device(self, place: int = 0, run_config: Mapping[str, Any] | None = None) -> Device:
        return device_of(run_config or {}, self.node_config(place))

    def contexts(self, run_id: int, run_config: Mapping[str, Any] | None = None) -> dict[int, Context]:
        """Flower's contexts of all nodes, under a run id that the server makes up."""
        said = dict(run_config or {})
        return {
            place: Context(run_id, place, {**self.node_config(place)}, RecordDict(), {**said})
            for place in range(len(self.stores))
        }
