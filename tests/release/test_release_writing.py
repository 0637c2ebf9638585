"""Writing a release: whole or not at all, never over another by accident, and nothing that could not be read."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_cases import KEY
from release_cases import contents

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.errors import ReleaseError
from fedrec.release.bundle import read_release, write_release

MODEL: Any = contents().model
TABLE: Any = contents().items


def test_a_release_is_not_written_over(release: Path) -> None:
    before = read_release(release).id
    with pytest.raises(ReleaseError, match="already"):
        write_release(release, contents(name="new"), key=KEY)
    assert read_release(release).id == before


def test_replacing_leaves_only_the_new_one(release: Path) -> None:
    write_release(release, contents(name="new", collaborative=False), key=KEY, replace=True)
    assert read_release(release).name == "new"
    assert [path.name for path in release.parent.iterdir()] == ["release"]


def test_what_is_no_release_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    with pytest.raises(ReleaseError, match="already"):
        write_release(tmp_path / "photos", contents(), key=KEY, replace=True)
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_a_failure_while_writing_leaves_the_old_release(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_release(release).id
    real, calls = Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ReleaseError, match="No space"):
        write_release(release, contents(name="new"), key=KEY, replace=True)
    assert read_release(release).id == before
    assert [path.name for path in release.parent.iterdir()] == ["release"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ReleaseError, match="cannot write"):
        write_release(tmp_path / "r", contents(), key=KEY)


def test_a_missing_release_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="cannot read"):
        read_release(tmp_path / "none")


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "two\nlines"},
        {"collaborative": CollaborativeFactors.empty(3)},
        {"encoders": {"../x": b""}},
        {"model": dataclasses.replace(MODEL, shapes={"text": (9,)})},
        {"model": dataclasses.replace(MODEL, parameters={"w": np.array([np.nan], np.float32)})},
        {"model": dataclasses.replace(MODEL, parameters={"w": np.zeros(2)})},
        {"items": dataclasses.replace(TABLE, titles=())},
        {"items": dataclasses.replace(TABLE, ids=("a",) * 5)},
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ReleaseError):
        dataclasses.replace(contents(), **change)


@pytest.mark.parametrize("config", [{"a": float("nan")}, {"a": Path("x")}, {"a": np.float32(1)}])
def test_a_config_that_is_not_json_is_refused(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(ReleaseError, match=r"config\.json"):
        write_release(tmp_path / "r", dataclasses.replace(contents(), config=config), key=KEY)
    assert not list(tmp_path.iterdir())
