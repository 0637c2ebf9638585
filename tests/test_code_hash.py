"""The hash of the installed code: of what can be imported, whatever is kept beside it."""

from __future__ import annotations

import shutil
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import fedrec
from fedrec.code_hash import code_hash
from fedrec.errors import ReleaseError

INSTALLED = Path(fedrec.__file__).resolve().parent


def package(place: Path) -> Path:
    (place / "inner").mkdir(parents=True)
    (place / "__init__.py").write_text("a = 1\n")
    (place / "inner" / "part.py").write_text("b = 2\n")
    (place / "inner" / "settings.toml").write_text("c = 3\n")
    return place


def test_it_is_of_the_imported_package_and_the_same_for_a_copy(tmp_path: Path) -> None:
    copy = shutil.copytree(INSTALLED, tmp_path / "fedrec", ignore=shutil.ignore_patterns("__pycache__"))
    assert code_hash() == code_hash(INSTALLED) == code_hash(copy)
    assert len(bytes.fromhex(code_hash())) == 32


@pytest.mark.parametrize(
    "name",
    ["__init__.py", "new.py", "inner/settings.toml", "inner/new.toml", "part.pyc", f"part{EXTENSION_SUFFIXES[0]}"],
)
def test_code_that_is_other_or_more_is_another_hash(tmp_path: Path, name: str) -> None:
    before = code_hash(package(tmp_path))
    (tmp_path / name).write_bytes(b"d = 4\n")
    assert code_hash(tmp_path) != before


def test_code_that_is_missing_or_moved_is_another_hash(tmp_path: Path) -> None:
    before = code_hash(package(tmp_path))
    (tmp_path / "inner" / "part.py").rename(tmp_path / "part.py")
    moved = code_hash(tmp_path)
    (tmp_path / "part.py").unlink()
    assert len({before, moved, code_hash(tmp_path)}) == 3


def test_what_the_interpreter_keeps_and_what_is_no_code_do_not_count(tmp_path: Path) -> None:
    before = code_hash(package(tmp_path))
    (tmp_path / "inner" / "__pycache__").mkdir()
    (tmp_path / "inner" / "__pycache__" / "part.cpython-311.pyc").write_bytes(b"kept")
    (tmp_path / "page.html.j2").write_text("a page")
    assert code_hash(tmp_path) == before


def test_a_link_to_a_directory_and_a_package_without_code_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReleaseError, match="no code"):
        code_hash(tmp_path / "empty")
    place = package(tmp_path / "one")
    (place / "linked").symlink_to(place / "inner")
    with pytest.raises(ReleaseError, match="link to a directory"):
        code_hash(place)
