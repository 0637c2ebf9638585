"""A device that has checked a release's settings once reads them as they are, and ranks the same without pydantic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ranker_cases import CONFIG, Place, tiny_contents

from fedrec.client import checked_settings
from fedrec.client.checked_settings import ReadSettings, remember_settings, remembered_settings
from fedrec.client.ranker import Ranker, recommend
from fedrec.config import from_tree
from fedrec.config.base import Settings
from fedrec.config.presets import PRESETS, with_preset
from fedrec.data.store import EventStore
from fedrec.errors import ReleaseError
from fedrec.release.bundle import read_release, write_release
from fedrec.release.keys import SigningKey

COMMAND = """
import sys
from fedrec.cli.main import main
try:
    main()
finally:
    print(*sorted({"torch", "pydantic", "scipy", "structlog", "rich", "flwr"} & set(sys.modules)), file=sys.stderr)
"""
WITHOUT = """
import sys
for name in ("torch", "pydantic", "scipy", "flwr"):
    sys.modules[name] = None  # importing it raises ImportError
from pathlib import Path
from fedrec.client.ranker import recommend
print(*(one.item for one in recommend(Path(sys.argv[1]), Path(sys.argv[2]), None, 5)))
"""


def leaves(settings: Settings, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from leaves(value, (*prefix, name))
        elif not isinstance(value, Mapping):
            yield (*prefix, name)


def of(settings: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        settings = getattr(settings, name)
    return settings


@pytest.mark.parametrize("preset", [None, *PRESETS.names()])
def test_every_setting_reads_as_it_is(preset: str | None) -> None:
    config = with_preset(from_tree({} if preset is None else {"model": {"preset": preset}}))
    read = ReadSettings(json.loads(config.model_dump_json()), lambda: config)
    paths = list(leaves(config))
    assert len(paths) > 100
    for path in paths:
        assert of(read, path) == of(config, path), path
    assert read.collaborative.ratings.used == config.collaborative.ratings.used
    with pytest.raises(AttributeError):
        _ = read.collaborative.ratings.absent


@pytest.fixture
def towerless(tmp_path: Path) -> Path:
    tree = {**CONFIG, "collaborative": {"scoring": {"weight": 1.0, "popularity_weight": 0.1}}}
    (tmp_path / "pictures").mkdir()
    contents = replace(tiny_contents(tmp_path / "pictures", from_tree(tree)), model=None)
    write_release(tmp_path / "release", contents, key=SigningKey.fresh())
    return tmp_path / "release"


@pytest.fixture
def store(place: Place, tmp_path: Path) -> Iterator[EventStore]:
    with EventStore.create(tmp_path / "own.sqlite") as made, EventStore.open(place.store) as of_many:
        made.add_events("anna", of_many.events("anna"))
        yield made


def test_the_second_start_has_the_same_list_without_pydantic(towerless: Path, store: EventStore) -> None:
    release = read_release(towerless)
    assert remembered_settings(store, release) is None
    first = Ranker(release)
    remember_settings(store, release)
    second = remembered_settings(store, release)
    assert isinstance(second, ReadSettings)
    lists = [one.recommend(store, "anna", 5) for one in (first, Ranker(release, second))]
    assert lists[0] == lists[1]
    store.close()
    words = [sys.executable, "-c", WITHOUT, str(towerless), str(store.path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [one.item for one in lists[0]]
    words = ["recommend", str(towerless), "--store", str(store.path), "--top", "5", "--json"]
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True)
    assert [one["item"] for one in json.loads(done.stdout)["recommendations"]] == [one.item for one in lists[0]]
    assert done.stderr.strip() == ""


def test_another_release_or_other_code_is_checked_again(
    towerless: Path, store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = read_release(towerless)
    remember_settings(store, release)
    code = tmp_path / "config"
    code.mkdir()
    (code / "root.py").write_text("now")
    monkeypatch.setattr(checked_settings, "_CODE", code)
    assert remembered_settings(store, release) is None
    remember_settings(store, release)
    assert remembered_settings(store, release) is not None
    os.utime(code / "root.py", ns=(1, 1))
    assert remembered_settings(store, release) is None
    remember_settings(store, release)
    other = replace(release, id="0" * 64)
    assert remembered_settings(store, other) is None
    bad = replace(release, contents=replace(release.contents, config={"model": {"dimension": -1}}))
    with pytest.raises(ReleaseError, match="settings cannot be used"):
        Ranker(bad)
    with pytest.raises(ReleaseError, match="settings cannot be used"):
        _ = remembered_settings(store, bad).model.fusion  # type: ignore[union-attr]


def test_a_release_that_cannot_be_used_is_not_remembered(towerless: Path, store: EventStore, tmp_path: Path) -> None:
    contents = replace(read_release(towerless).contents, encoders={"text": b"no encoder"})
    write_release(tmp_path / "bad", contents, key=SigningKey.fresh())
    for _ in range(2):
        with pytest.raises(ReleaseError, match="encoder of text"):
            recommend(tmp_path / "bad", store.path, "anna", 3)
