"""Hostile releases that are far larger than they look.

Each attack is tried with its defence, and again with the defence switched off, where it must succeed.
"""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_release_cases import ITEMS, KEY, Place, off, tiny

from fedrec.client.ranker import Ranker, recommend
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import ModelSettings
from fedrec.content.image_pixels import PixelsImage
from fedrec.content.registry import encoder_to_bytes
from fedrec.errors import ReleaseError
from fedrec.release import bundle, content_state, model_state
from fedrec.release.bundle import read_release, write_release
from fedrec.release.contents import ModelState
from fedrec.release.limits import ReleaseLimits
from fedrec.release.manifest import CONTEXT, MANIFEST, SIGNATURE, FileEntry, Manifest


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
    assert read  # files are read side by side, so perhaps several


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
