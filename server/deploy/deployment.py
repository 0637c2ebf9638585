"""What a deployment has before it runs: a shop's catalogue, devices with stores and identities, and what is signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedrec.client.trust import identity_of, trust_roster_key
from fedrec.config import Config, load
from fedrec.console import open_reporter
from fedrec.content.feature_table import encoder_hashes
from fedrec.content.features import save_features
from fedrec.data.store import EventStore
from fedrec.data.stores import training_events
from fedrec.queries.run_manifest_draft import make_manifest
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.roster import Roster
from fedrec.server.roster_files import create_roster_key, read_roster, write_roster, write_signed
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare
from server.deploy.app_copy import copy_app

APP: Final = Path(__file__).resolve().parent.parent.parent
DEVICES: Final = 3
USERS: Final = 24
_ITEMS: Final = 150
# One sum, and small. Three devices hide nothing from two that tell each other all: what is checked is the machinery.
_SETTINGS: Final = """
[run]
name = "{name}"
[content.text]
dimension = 16
vocabulary = 512
[content.image]
dimension = 8
[model]
dimension = 8
[collaborative]
popularity = false
[collaborative.cooccurrence]
enabled = false
[collaborative.scoring]
weight = 0.0
[training]
rounds = {rounds}
negatives = 32
[privacy]
epsilon = 8.0
{privacy}
[secure_aggregation]
protocol = "secagg+"
minimum_cohort = {devices}
minimum_survivors = {devices}
attempts = {attempts}
[speed]
threads = 1
"""


def small_settings(name: str, *, rounds: int = 1, attempts: int = 2, privacy: str = "", devices: int = DEVICES) -> str:
    """Settings of a small run of so many devices, all of which a sum needs, as TOML.

    Args:
        name: of the run.
        privacy: more lines of that table.
    """
    return _SETTINGS.format(name=name, rounds=rounds, attempts=attempts, privacy=privacy, devices=devices)


SETTINGS: Final = small_settings("deployment-check")


@dataclass(frozen=True)
class Deployment:
    """``out``: where everything is.  ``stores``: one a device.  ``publisher``: signs roster and manifests.
    ``users``: people behind all devices."""

    out: Path
    config: Config
    study: Study
    stores: tuple[Path, ...]
    publisher: DeviceIdentity
    users: int = USERS

    @property
    def app(self) -> Path:
        """What the SuperLink is sent, and nothing else."""
        return self.out / "app"

    @property
    def manifest(self) -> Path:
        """What the publisher signed for the run."""
        return self.out / "manifest"

    def files(self, manifest: Path | None = None) -> dict[str, str]:
        """What a run needs: run-config key -> path. ``manifest``: in place of the publisher's."""
        named = {
            "manifest": manifest or self.manifest,
            "catalogue": self.out / "catalogue",
            "roster": self.out / "roster",
        }
        return {name: str(path) for name, path in named.items()}

    def device(self, store: Path) -> dict[str, str]:
        """Options of `fedrec device start`."""
        return {**{f"--{name}": path for name, path in self.files().items()}, "--store": str(store)}

    def sign(self, path: Path, config: Config, signer: DeviceIdentity, counter: int) -> Path:
        """Write a manifest for these devices, signed by whomever; returns its path."""
        roster = read_roster(self.out / "roster")
        encoders = encoder_hashes(self.out / "catalogue")
        made = make_manifest(config, self.study.features, roster, counter=counter, users=self.users, encoders=encoders)
        write_signed(path, made.sign(signer))
        return path


def make_deployment(out: Path, *, devices: int = DEVICES, users: int = USERS, settings: str = SETTINGS) -> Deployment:
    """Set everything up in a directory, people dealt out to devices. Raises FedrecError where a step fails."""
    (out / "settings.toml").write_text(settings, encoding="utf-8")
    config = load(out / "settings.toml")
    copy_app(APP, out / "app")
    write_shop(out / "shop", users=users, items=_ITEMS, seed=1)
    with open_reporter(silent=True) as reporter:
        study = prepare(config, out / "shop", reporter)
    save_features(study.features, study.encoders, out / "catalogue")
    publisher = create_roster_key(out / "roster.key")
    stores, ids = [], []
    for number in range(devices):
        stores.append(out / f"device-{number}.sqlite")
        with EventStore.create(stores[-1]) as store, store.transaction():
            for place in range(number, users, devices):
                store.add_events(study.dataset.users[place], training_events(study.dataset, study.split, place))
            ids.append(identity_of(store).public)
            trust_roster_key(store, publisher.public)
    write_roster(out / "roster", Roster.of(ids), publisher)
    made = Deployment(out, config, study, tuple(stores), publisher, users)
    made.sign(made.manifest, config, publisher, counter=1)
    return made
