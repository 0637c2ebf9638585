"""The real thing, small: three devices behind authenticated SuperNodes train privately by secure aggregation over TLS,
get the release back, and rank for their owners.

``python -m server.deploy.check DIRECTORY`` runs it and says what happened.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedrec.client.ranker import recommend
from fedrec.client.trust import identity_of, trust_roster_key
from fedrec.config import Config, load
from fedrec.console import open_reporter, say
from fedrec.content.features import save_features
from fedrec.data.store import EventStore
from fedrec.data.stores import training_events
from fedrec.errors import ProtocolError
from fedrec.queries.run_manifest_draft import make_manifest
from fedrec.release.keys import load_key
from fedrec.secagg.roster import Roster
from fedrec.server.roster_files import create_roster_key, load_roster_key, read_roster, write_roster, write_signed
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare
from server.deploy.network import network

APP: Final = Path(__file__).resolve().parent.parent.parent
DEVICES: Final = 3
_USERS, _ITEMS = 24, 150
_SECONDS: Final = 480.0
# One sum, and small. Three devices hide nothing from two that tell each other all: what is checked is the machinery.
SETTINGS: Final = f"""
[run]
name = "deployment-check"
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
rounds = 1
negatives = 32
[privacy]
epsilon = 8.0
[secure_aggregation]
protocol = "secagg+"
minimum_cohort = {DEVICES}
minimum_survivors = {DEVICES}
[speed]
threads = 1
"""


@dataclass(frozen=True)
class Checked:
    """``record``: the content of ``server.json``. ``ranked``: for one user of each device, its first items."""

    record: dict[str, Any]
    ranked: dict[str, list[str]]


def check(out: Path) -> Checked:
    """Set everything up in a new directory, run, and hand the release to the devices.

    Raises:
        FedrecError: any step fails.
    """
    out = out.resolve()
    settings = out / "settings.toml"
    settings.write_text(SETTINGS, encoding="utf-8")
    config = load(settings)
    study = _study(config, out)
    roster, stores = _devices(study, out)
    publisher = load_roster_key(out / "roster.key")
    manifest = make_manifest(config, study.features, read_roster(roster), counter=1, users=_USERS)
    write_signed(out / "manifest", manifest.sign(publisher))
    common = {"manifest": str(out / "manifest"), "catalogue": str(out / "catalogue"), "roster": str(roster)}
    devices = [{**{f"--{name}": path for name, path in common.items()}, "--store": str(store)} for store in stores]
    with network(out / "network", devices) as opened:
        run_config: dict[str, str | int | float] = {**common}
        run_config |= {"out": str(out / "server"), "devices": DEVICES, "patience": 120}
        log = opened.run(APP, run_config, seconds=_SECONDS)
    record = out / "server" / "server.json"
    if not record.is_file():
        raise ProtocolError(f"the run left nothing: {log[-2000:]}", action=f"Look into {out / 'network'}")
    return Checked(json.loads(record.read_text(encoding="utf-8")), dict(_ranked(out, store) for store in stores))


def _study(config: Config, out: Path) -> Study:
    write_shop(out / "shop", users=_USERS, items=_ITEMS, seed=1)
    with open_reporter(silent=True) as reporter:
        study = prepare(config, out / "shop", reporter)
    save_features(study.features, study.encoders, out / "catalogue")
    return study


def _devices(study: Study, out: Path) -> tuple[Path, list[Path]]:
    """Stores of several users each, with identities, and the roster that lists them."""
    key = create_roster_key(out / "roster.key")
    stores, ids = [], []
    for number in range(DEVICES):
        stores.append(out / f"device-{number}.sqlite")
        with EventStore.create(stores[-1]) as store, store.transaction():
            for place in range(number, _USERS, DEVICES):
                store.add_events(study.dataset.users[place], training_events(study.dataset, study.split, place))
            ids.append(identity_of(store).public)
            trust_roster_key(store, key.public)
    write_roster(out / "roster", Roster.of(ids), key)
    return out / "roster", stores


def _ranked(out: Path, path: Path) -> tuple[str, list[str]]:
    with EventStore.open(path) as store:
        user = store.users()[0]
    trusted = out / "release.pub"
    trusted.write_text(load_key(out / "server" / "release.key").public.hex() + "\n", encoding="ascii")
    return user, [one.item for one in recommend(out / "server" / "model", path, user, 5, trusted_key=trusted)]


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    for line in found.record["rounds"]:
        say(f"{line['query']} {line['round']}: {line['devices']} devices, {line['bytes_up_per_device']:,} bytes each")
    for user, items in found.ranked.items():
        say(f"{user}: {', '.join(items)}")
