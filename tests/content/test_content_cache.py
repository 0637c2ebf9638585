from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedrec.content.cache import FeatureCache, files_hash, items_hash, texts_hash
from fedrec.content.encoder import Encoded, Problem
from fedrec.content.kept_parts import KeptParts
from fedrec.data.schema import ItemRecord
from fedrec.errors import ContentError

RESULT = Encoded(np.array([[1.5, 2], [0, 0]], np.float32), np.array([True, False]), (Problem(1, "file is empty"),))


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, kept: KeptParts | None) -> Encoded:
        self.calls += 1
        return RESULT


def assert_same(got: Encoded) -> None:
    np.testing.assert_array_equal(got.values, RESULT.values)
    np.testing.assert_array_equal(got.present, RESULT.present)
    assert got.values.dtype == np.float32 and got.present.dtype == np.bool_
    assert got.problems == RESULT.problems


def test_a_second_run_reads_what_the_first_made(tmp_path: Path) -> None:
    make = Maker()
    for _ in range(2):
        assert_same(FeatureCache(tmp_path / "cache").encoded("lsa", "abc", make))
    assert make.calls == 1


def test_another_encoder_or_content_is_made_anew(tmp_path: Path) -> None:
    make, cache = Maker(), FeatureCache(tmp_path)
    for name, content in [("lsa", "abc"), ("lsa", "abd"), ("lsb", "abc"), ("lsaa", "bc")]:
        cache.encoded(name, content, make)
    assert make.calls == 4


def test_without_a_directory_nothing_is_kept() -> None:
    make, cache = Maker(), FeatureCache(None)
    assert_same(cache.encoded("lsa", "abc", make))
    assert_same(cache.encoded("lsa", "abc", make))
    assert make.calls == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_file_is_made_again(damage: str, tmp_path: Path) -> None:
    make, cache = Maker(), FeatureCache(tmp_path)
    cache.encoded("lsa", "abc", make)
    path = cache.path("lsa", "abc")
    data = path.read_bytes()
    if damage == "other":
        cache.encoded("other", "abc", make)
        make.calls = 1
        path.write_bytes(cache.path("other", "abc").read_bytes())
    else:
        path.write_bytes({"cut": data[:-5], "flip": data[:-1] + bytes([data[-1] ^ 1]), "empty": b""}[damage])
    assert_same(cache.encoded("lsa", "abc", make))
    assert make.calls == 2
    assert_same(cache.encoded("lsa", "abc", make))
    assert make.calls == 2


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ContentError, match="cannot write"):
        FeatureCache(tmp_path / "file").encoded("lsa", "abc", Maker())


def test_hashes_tell_content_and_its_order_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"xy")
    assert texts_hash(["a", "b"]) == texts_hash(iter(["a", "b"]))
    assert len({texts_hash(t) for t in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["\ud800"])}) == 5
    assert files_hash([path]) == files_hash([b"xy"])
    assert len({files_hash([p]) for p in (None, b"", b"xy", b"none", tmp_path / "none.jpg")}) == 5
    items = [
        ItemRecord("1", "a"),
        ItemRecord("1", "a", attributes={"g": ("x",)}),
        ItemRecord("1", "a", numbers={"g": 1.0}),
    ]
    assert len({items_hash([item]) for item in items}) == 3
