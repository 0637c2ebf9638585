"""A deployment on disk in a moment: a catalogue of a few items without a shop, a server, and devices that ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedrec.client.own.device_directory import DeviceDirectory
from fedrec.client.own.enrol import make_device
from fedrec.content.feature_table import Features
from fedrec.content.features import save_features
from fedrec.enrolment.request import EnrolmentRequest, read_request
from fedrec.queries.run_manifest import RunManifest
from fedrec.secagg.identity import read_key
from fedrec.server.operation.initialise import MadeServer, NewServer, initialise
from fedrec.server.operation.install import install_run
from fedrec.server.operation.publisher import sign_next

SETTINGS = """
[run]
name = "small"
[model]
preset = "behaviour-only"
[collaborative.cooccurrence]
enabled = true
[privacy]
epsilon = 8.0
delta = 0.01
[secure_aggregation]
protocol = "secagg+"
minimum_cohort = 2
minimum_survivors = 2
"""


def write_catalogue(directory: Path, items: int = 12) -> Path:
    ids = tuple(f"i{number}" for number in range(items))
    rows = np.arange(items * 4, dtype=np.float32).reshape(items, 4)
    features = Features(ids=ids, titles=ids, values={"text": rows}, present={"text": np.ones(items, bool)})
    save_features(features, {}, directory)
    return directory


@dataclass(frozen=True)
class OperatedServer:
    """``made``: what `initialise` made; ``directory``: of the deployment."""

    directory: Path
    made: MadeServer

    @classmethod
    def make(cls, out: Path, name: str = "deployment", **wanted: object) -> OperatedServer:
        settings = out / f"{name}.toml"
        settings.write_text(SETTINGS, encoding="utf-8")
        catalogue = out / "catalogue"
        if not catalogue.exists():
            write_catalogue(catalogue)
        chosen = NewServer(settings, "127.0.0.1:19443", **wanted)  # type: ignore[arg-type]
        return cls(out / name, initialise(out / name, catalogue, chosen))

    @property
    def publisher_key(self) -> bytes:
        return read_key(self.made.publisher.public_key)

    def device(self, name: str) -> DeviceDirectory:
        return make_device(self.directory.parent / name, self.made.invite)

    def request(self, name: str) -> EnrolmentRequest:
        return read_request(self.device(name).request, self.publisher_key)

    def enrolled(self, *names: str, withdrawn: tuple[str, ...] = ()) -> RunManifest:
        """Sign and install the next run with these devices more."""
        requests = [self.request(name) for name in names]
        signed, _ = sign_next(self.made.publisher, requests, withdrawn=withdrawn)
        return install_run(self.made.server, signed)
