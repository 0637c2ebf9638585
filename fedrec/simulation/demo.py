"""The demo: a shop is made, devices train on it together, and one of them recommends to its owner, offline."""

from __future__ import annotations

from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import numpy as np

from fedrec.client.ranker import recommend
from fedrec.config import Config, load
from fedrec.console import Reporter
from fedrec.data.reader import read_dataset
from fedrec.data.schema import Dataset, Note, Photo
from fedrec.data.splits import Split, split
from fedrec.data.store import EventStore
from fedrec.data.stores import training_events
from fedrec.errors import DataError
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.shop.summary import shop_summary

TOP: Final = 10
SHOWN_HISTORY: Final = 5
SHOP: Final = "shop"
DEVICE: Final = "device.sqlite"


def run_demo(out: Path, *, users: int, seed: int, reporter: Reporter) -> dict[str, Any]:
    """Make the shop in ``out/shop`` (or take the one of the same users and seed), run ``demo.toml`` on it with
    its files in ``out``, and rank on the device of one user.

    Returns:
        ``{"run": run.json's content, "user", "history": the last titles, "recommendations": [...], "report": path, or
        None where the extra ``report`` is not installed}``.

    Raises:
        ConfigError: another shop is in the way, or a size is out of range.
        FedrecError: as `fedrec.simulation.run.simulate` and `fedrec.client.ranker.recommend` do.
    """
    shop = out / SHOP
    if not _is_there(shop, users, seed):
        reporter.stage(f"Making a shop for {users:,} users")
        write_shop(shop, users=users, seed=seed, progress=reporter.progress)
    run = simulate(demo_config(seed), shop, out, reporter=reporter)
    reporter.stage("Ranking on one device")
    dataset = read_dataset(shop)
    held = split(dataset)
    place = shown_person(dataset, held)
    store = make_device(out / DEVICE, dataset, held, place)
    user = dataset.users[place]
    found = recommend(out / "model", store, user, TOP)
    report = out / "report.html"
    last = held.training[place][-SHOWN_HISTORY:]
    return {
        "run": run,
        "user": user,
        "history": [dataset.items[item].title for item in last],
        "recommendations": [asdict(one) for one in found],
        "report": report if report.exists() else None,
    }


def demo_config(seed: int) -> Config:
    """The settings of the demo, with this seed."""
    with as_file(files("fedrec.simulation").joinpath("demo.toml")) as path:
        return load(path, [f"run.seed={seed}"])


def _is_there(shop: Path, users: int, seed: int) -> bool:
    try:
        summary = shop_summary(shop, echo=None)
    except DataError:
        return False
    return (summary.users, summary.seed) == (users, seed)


def make_device(path: Path, dataset: Dataset, held: Split, place: int) -> Path:
    """A device of one user, made afresh: training events, notes and photos."""
    for old in (path, *(path.with_name(path.name + ending) for ending in ("-wal", "-shm"))):
        old.unlink(missing_ok=True)
    user = dataset.users[place]
    with EventStore.create(path, device_name=user) as store, store.transaction():
        store.add_user(user)
        store.add_events(user, training_events(dataset, held, place))
        for text in dataset.notes.get(place, ()):
            store.add_note(user, Note(text))
        for photo in dataset.photos.get(place, ()):
            store.add_photo(user, Photo(photo.name, photo.read_bytes()))
    return path


def shown_person(dataset: Dataset, held: Split) -> int:
    """The user to show: one with notes and photos where there is one, and with a history of usual length."""
    lengths = held.training.lengths
    private = [place for place in dataset.notes if place in dataset.photos and lengths[place] > 0]
    places = np.array(private or range(len(lengths)))
    return int(places[np.argmin(np.abs(lengths[places] - np.median(lengths)))])
