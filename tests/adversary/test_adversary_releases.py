"""Hostile releases: rolled back, of another signer, far larger than they look, or with the seed of their noise inside.

Each attack is tried with its defence, and again with the defence switched off, where it must succeed: else the test
would show nothing.
"""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from fedrec.api.privacy import statement
from fedrec.client.device import device_of
from fedrec.client.feedback import record_clicks
from fedrec.client.personalise import personalise_store
from fedrec.client.ranker import Ranker, recommend
from fedrec.client.release_memory import StoredMemory
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config, ModelSettings, from_tree
from fedrec.console import SilentReporter
from fedrec.content.image_pixels import PixelsImage
from fedrec.content.registry import encoder_to_bytes
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, FedrecError, ReleaseError
from fedrec.release import bundle, content_state, model_state
from fedrec.release.bundle import read_release, write_release
from fedrec.release.contents import CatalogueItems, ModelState, ReleaseContents
from fedrec.release.keys import SigningKey
from fedrec.release.limits import ReleaseLimits
from fedrec.release.manifest import CONTEXT, MANIFEST, SIGNATURE, FileEntry, Manifest
from fedrec.server import app as server_app
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.summary import show_run

KEY = SigningKey.fresh()
ITEMS = 6
SEED = 7_305_921_846_113


def tiny(name: str = "shop", favourite: int = 1, **changes: Any) -> ReleaseContents:
    """A release that ranks by popularity, ``favourite`` first."""
    popularity = np.ones(ITEMS, dtype=np.float32)
    popularity[favourite] = 9
    items = CatalogueItems(
        ids=tuple(f"i{place}" for place in range(ITEMS)),
        titles=("",) * ITEMS,
        values={"text": np.eye(ITEMS, 4, dtype=np.float32)},
        present={"text": np.ones(ITEMS, dtype=np.bool_)},
    )
    table = dataclasses.replace(CollaborativeFactors.empty(ITEMS), popularity=popularity)
    config = {"collaborative": {"scoring": {"popularity_weight": 0.5}}}
    contents = ReleaseContents(name=name, items=items, model=None, collaborative=table, config=config)
    return dataclasses.replace(contents, **changes)


@dataclasses.dataclass(frozen=True)
class Place:
    """A device's store, the publisher's old and new release, and their public key."""

    store: Path
    old: Path
    new: Path
    key: Path

    def first(self, release: Path, **settings: Any) -> str:
        """What the device recommends first."""
        return recommend(release, self.store, "anna", 1, **settings)[0].item


@pytest.fixture
def place(tmp_path: Path) -> Place:
    with EventStore.create(tmp_path / "store.sqlite") as store:
        store.add_events("anna", [Event("i0", 1)])
    write_release(tmp_path / "old", tiny(favourite=1), key=KEY, created_at="2026-11-01T00:00:00Z")
    write_release(tmp_path / "new", tiny(favourite=2), key=KEY, created_at="2026-11-02T00:00:00Z")
    (tmp_path / "key.pub").write_text(KEY.public.hex())
    return Place(tmp_path / "store.sqlite", tmp_path / "old", tmp_path / "new", tmp_path / "key.pub")


def off(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
    monkeypatch.setattr(where, name, lambda *_, **__: None)


# Rollback.


def test_an_older_release_is_refused_by_every_reader_with_a_store(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.first(place.old) == "i1"
    assert place.first(place.new) == "i2"
    versions = [read_release(one).version for one in (place.old, place.new)]
    assert versions[0] < versions[1]
    for pinned in (None, place.key):
        with pytest.raises(ReleaseError, match=rf"{versions[0]}.*{versions[1]}"):
            place.first(place.old, trusted_key=pinned)
    with pytest.raises(ReleaseError, match="has ranked with version"):
        record_clicks(place.old, place.store, "anna", ["i1"], ["i1"])
    with pytest.raises(ReleaseError, match="has ranked with version"):
        personalise_store(place.old, place.store, steps=1)
    off(monkeypatch, StoredMemory, "check_version")
    assert place.first(place.old) == "i1"


def test_a_person_may_allow_an_older_release_which_forgets_nothing(place: Place) -> None:
    place.first(place.new)
    assert place.first(place.old, allow_older=True) == "i1"
    with pytest.raises(ReleaseError, match="has ranked with version"):
        place.first(place.old)
    assert place.first(place.new) == "i2"


def test_an_old_release_of_another_name_is_no_way_back(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_release(tmp_path / "beta", tiny("beta", favourite=3), key=KEY, created_at="2026-10-01T00:00:00Z")
    write_release(tmp_path / "next", tiny("next", favourite=4), key=KEY, created_at="2026-11-03T00:00:00Z")
    place.first(place.new)
    with pytest.raises(ReleaseError, match="has ranked with version"):
        place.first(tmp_path / "beta")
    assert place.first(tmp_path / "next") == "i4"
    assert place.first(place.new) == "i2"  # each name has a version of its own
    off(monkeypatch, StoredMemory, "check_version")
    assert place.first(tmp_path / "beta") == "i3"


def test_two_releases_of_one_version_are_not_both_used(place: Place, tmp_path: Path) -> None:
    write_release(tmp_path / "twin", tiny(favourite=5), key=KEY, created_at="2026-11-02T00:00:00Z")
    assert place.first(place.new) == place.first(place.new) == "i2"
    with pytest.raises(ReleaseError, match="same version"):
        place.first(tmp_path / "twin")


def test_a_release_without_a_version_is_older_than_any(place: Place, tmp_path: Path) -> None:
    data = (place.old / MANIFEST).read_bytes()
    bare = dataclasses.replace(Manifest.from_bytes(data), version=0).to_bytes()
    (place.old / MANIFEST).write_bytes(bare)
    (place.old / SIGNATURE).write_bytes(KEY.public + KEY.sign(CONTEXT, bare))
    assert read_release(place.old).version == 0
    assert place.first(place.old) == "i1"
    assert place.first(place.new) == "i2"
    with pytest.raises(ReleaseError, match="version 0"):
        place.first(place.old)


def test_a_release_that_failed_to_rank_is_not_remembered(place: Place) -> None:
    with pytest.raises(FedrecError):
        recommend(place.new, place.store, "nobody", 1)
    assert place.first(place.old) == "i1"


# The signer.


def test_the_publisher_of_the_first_release_is_remembered(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SigningKey.fresh()
    write_release(tmp_path / "forged", tiny(favourite=3), key=other)
    place.first(place.new)
    with pytest.raises(ReleaseError, match="remembers"):
        place.first(tmp_path / "forged")
    (tmp_path / "other.pub").write_text(other.public.hex())
    with pytest.raises(ReleaseError, match="another key than the trusted"):
        place.first(place.new, trusted_key=tmp_path / "other.pub")
    with monkeypatch.context() as patch:
        patch.setattr(StoredMemory, "publisher", None)
        patch.setattr(StoredMemory, "keep", lambda *_: None)
        assert place.first(tmp_path / "forged") == "i3"
    # A person who gives the new key means it.
    assert place.first(tmp_path / "forged", trusted_key=tmp_path / "other.pub") == "i3"
    with pytest.raises(ReleaseError, match="remembers"):
        place.first(place.new)
    assert place.first(place.new, trusted_key=place.key) == "i2"


def test_releases_of_simulations_make_nobody_a_publisher_and_pass_for_nobody(place: Place, tmp_path: Path) -> None:
    config = {**tiny().config, "run": {"engine": "grid"}}
    for name, favourite in (("one", 3), ("two", 4)):
        write_release(tmp_path / name, tiny(favourite=favourite, config=config), key=SigningKey.fresh())
        assert place.first(tmp_path / name) == f"i{favourite}"
    place.first(place.new)
    with pytest.raises(ReleaseError, match="remembers"):
        place.first(tmp_path / "one")


def test_a_simulation_whose_signer_a_person_named_is_remembered(place: Place, tmp_path: Path) -> None:
    config = {**tiny().config, "run": {"engine": "cohort"}}
    write_release(tmp_path / "named", tiny(favourite=3, config=config), key=KEY, created_at="2026-11-03T00:00:00Z")
    assert place.first(tmp_path / "named", trusted_key=place.key) == "i3"
    with pytest.raises(ReleaseError, match="version"):
        place.first(place.new)


# Sizes.


def sign_again(directory: Path, sizes: dict[str, int] | None = None) -> None:
    """A dishonest publisher: whatever lies there, signed, with some sizes that are not the files'."""
    files = {one.name: FileEntry.of(one.read_bytes()) for one in directory.iterdir() if "manifest" not in one.name}
    files |= {name: dataclasses.replace(files[name], size=size) for name, size in (sizes or {}).items()}
    data = Manifest(name="shop", created_at="2026-11-02T00:00:00Z", files=files, version=2**40).to_bytes()
    (directory / MANIFEST).write_bytes(data)
    (directory / SIGNATURE).write_bytes(KEY.public + KEY.sign(CONTEXT, data))


@pytest.mark.parametrize("name", ["config.json", "catalogue.json", "features.safetensors"])
def test_a_file_over_its_limit_is_refused_before_anything_is_read(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def held(directory: Path, name: str, entry: FileEntry) -> bytes:
        read.append(name)
        raise ReleaseError("read")

    monkeypatch.setattr(bundle, "_held", held)
    sign_again(place.new, {name: ReleaseLimits().largest(name) + 1})
    with pytest.raises(ReleaseError, match="larger than"):
        place.first(place.new)
    assert read == []
    off(monkeypatch, ReleaseLimits, "check_files")
    with pytest.raises(ReleaseError, match="read"):
        place.first(place.new)
    assert len(read) == 1


def test_all_files_together_and_their_number_have_a_limit(place: Place, tmp_path: Path) -> None:
    write_release(tmp_path / "long", tiny(card="#" * 2000), key=KEY)
    with pytest.raises(ReleaseError, match="more than 3 files"):
        read_release(place.new, limits=ReleaseLimits(files=3))
    with pytest.raises(ReleaseError, match="release is larger than 1,024"):
        read_release(tmp_path / "long", limits=ReleaseLimits(total=1024))
    assert read_release(tmp_path / "long", limits=ReleaseLimits(total=1 << 20)).name == "shop"


def bomb(vocabulary: int) -> ModelState:
    """A model of a few numbers, by its arrays, whose settings name word vectors of any size."""
    settings = ModelSettings(dimension=64, text_encoder="gru")
    return ModelState(settings=settings, shapes={"text": (4,)}, temperature=0.1, parameters={}, vocabulary=vocabulary)


def test_a_model_is_not_built_before_its_arrays_fit_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes name a model of 640 MB: word vectors for 10 million words, of which the release holds none."""
    items = dataclasses.replace(tiny().items, values={"text": np.zeros((ITEMS, 4), dtype=np.int32)})  # type: ignore[type-var]
    built: list[int] = []
    build = model_state._built

    def seen(state: ModelState) -> Any:
        model = build(state)
        built.append(sum(4 * one.numel() for one in model.parameters() if one.device.type == "cpu"))
        return model

    monkeypatch.setattr(model_state, "_built", seen)
    write_release(tmp_path / "bomb", tiny(items=items, model=bomb(10_000_000)), key=KEY)
    assert sum(one.stat().st_size for one in (tmp_path / "bomb").iterdir()) < 10_000
    with pytest.raises(ReleaseError, match="parameters are not those"):
        recommend(tmp_path / "bomb", place.store, "anna", 1)
    assert built == [0]
    write_release(tmp_path / "smaller", tiny(items=items, model=bomb(200_000)), key=KEY)
    off(monkeypatch, model_state, "_check_form")
    with pytest.raises(ReleaseError):
        recommend(tmp_path / "smaller", place.store, "anna", 1)
    assert built[1] > 10_000_000


def test_what_ranking_derives_is_bounded(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Factors of few items and many columns have a large square."""
    factors = np.ones((ITEMS, 1200), dtype=np.float32)
    table = tiny().collaborative
    assert table is not None
    config = {"collaborative": {"fold_in": {}}}
    wide = tiny(collaborative=dataclasses.replace(table, factors=factors), config=config)
    write_release(tmp_path / "wide", wide, key=KEY)
    limits = ReleaseLimits(derived=1 << 20, derived_ratio=1)
    with pytest.raises(ReleaseError, match="ranking with this release"):
        read_release(tmp_path / "wide", limits=limits)
    off(monkeypatch, ReleaseLimits, "check_derived")
    with traced() as peak:
        Ranker(read_release(tmp_path / "wide", limits=limits))
    assert peak[0] > 8 * 1200 * 1200


def test_factors_of_a_release_of_140_kilobytes_do_not_become_gigabytes(tmp_path: Path) -> None:
    table = dataclasses.replace(CollaborativeFactors.empty(1), factors=np.ones((1, 35_000), dtype=np.float32))
    one = dataclasses.replace(
        tiny().items, ids=("a",), titles=("",), values={"text": np.ones((1, 4))}, present={"text": np.ones(1, bool)}
    )  # type: ignore[type-var]
    write_release(tmp_path / "wide", tiny(items=one, collaborative=table), key=KEY)
    with pytest.raises(ReleaseError, match="ranking with this release"):
        read_release(tmp_path / "wide")


def test_an_encoder_cannot_ask_for_a_picture_of_any_size(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_release(tmp_path / "huge", tiny(encoders={"image": encoder_to_bytes(PixelsImage(200_000))}), key=KEY)
    with pytest.raises(ReleaseError, match="encoder of image"):
        place.first(tmp_path / "huge")
    monkeypatch.setattr("fedrec.content.image_pixels.LARGEST_SIDE", 10**9)
    with pytest.raises(ReleaseError, match="of one piece of content"):
        place.first(tmp_path / "huge")
    off(monkeypatch, content_state, "_check_size")
    assert Ranker(read_release(tmp_path / "huge"))._encoders["image"].shape == (3, 200_000, 200_000)


@contextmanager
def traced() -> Iterator[list[int]]:
    """The most bytes that were taken at once, once it is over."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


# The seed, and what a simulation says of itself.


def simulated(tmp_path: Path, out: str) -> Path:
    shop = tmp_path / "shop"
    if not shop.exists():
        write_shop(shop, users=20, items=140, seed=3)
    tree = {
        "run": {"seed": SEED, "name": "pretend"},
        "model": {"tower": False},
        "privacy": {"epsilon": 8.0},
        "evaluation": {"every": 0},
    }
    simulate(from_tree(tree), shop, tmp_path / out, reporter=SilentReporter())
    return tmp_path / out


def test_a_release_holds_no_seed_and_says_that_it_is_a_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = simulated(tmp_path, "out")
    release = run / "model"
    for path in release.iterdir():
        assert str(SEED).encode() not in path.read_bytes(), path.name
        assert SEED.to_bytes(8, "little") not in path.read_bytes(), path.name
    read = read_release(release).contents
    assert "seed" not in read.config["run"]
    Ranker(read_release(release))
    says = "simulation: no protection"
    assert says in (release / "MODEL_CARD.md").read_text().splitlines()[0]
    assert says in (release / "privacy.json").read_text().splitlines()[0]
    assert (release / "privacy.json").read_text().startswith('{"about":"' + says)
    for of in (run, release):
        assert says in statement(of).page.splitlines()[0]
    body = (run / "report.html").read_text().split("<body>")[1]
    assert says in body.strip().splitlines()[0]
    show_run(json.loads((run / "run.json").read_text()), run)
    assert says in capsys.readouterr().out.splitlines()[0]
    monkeypatch.setattr("fedrec.server.publish.released_settings", lambda config: config.model_dump(mode="json"))
    assert read_release(simulated(tmp_path, "again") / "model").contents.config["run"]["seed"] == SEED


# Apps.

REPRODUCIBLE = Config.model_validate({"run": {"reproducible": True}}).model_dump_json()


def test_neither_app_starts_with_noise_from_a_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    run_config = {"config": REPRODUCIBLE, "catalogue": "nowhere", "stores": "x", "simulation": True}
    own = {"store": "x", "partition-id": 0, "num-partitions": 2}
    with pytest.raises(ConfigError, match="reproducible"):
        device_of(run_config, own)
    for word in ("true", 1, "", False):
        with pytest.raises(ConfigError, match="reproducible"):
            device_of(run_config, {**own, "simulation": word})
    grid = InProcessGrid(lambda message, context: message, {}, run_id=1)
    context = Context(1, 1, {}, RecordDict(), {**run_config, "out": "x", "devices": 1, "wait": 0})
    with grid, pytest.raises(ConfigError, match="reproducible"):
        server_app.app(grid, context)
    # A simulation says so where the server has no say; then both go on, to the catalogue that there is not.
    assert device_of(run_config, {**own, "simulation": True}).device_context.accepted.run.reproducible
    monkeypatch.setenv("FEDREC_SIMULATION", "1")
    assert device_of(run_config, own).device_context.accepted.run.reproducible
    with grid, pytest.raises(FedrecError, match="catalogue"):
        server_app.app(grid, context)
