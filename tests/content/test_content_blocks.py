"""Encoding by blocks gives what encoding at once gives, on any number of threads, cut off or not, to the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.content import blocks
from fedrec.content.blocks import encode_in_blocks
from fedrec.content.cache import FeatureCache, texts_hash
from fedrec.content.encoder import Encoded, Problem
from fedrec.content.kept_parts import KeptParts

TEXTS = [f"text number {place}" for place in range(100)]
# Encodes slowly and prints a line for each block, keeping every block: a kill always falls between two of them.
SLOW = """
import sys, time
from pathlib import Path
import test_content_blocks as cases
from fedrec.content import kept_parts
from fedrec.content.cache import FeatureCache, texts_hash

def slow(texts):
    time.sleep(float(sys.argv[2]))
    print(len(texts), flush=True)
    return cases.lengths(texts)

kept_parts.KeptParts.__init__.__defaults__ = (0.0,)
cache = FeatureCache(Path(sys.argv[1]))
cache.encoded("slow", texts_hash(cases.TEXTS), lambda kept: cases.in_blocks(slow, kept))
"""


def lengths(texts: Sequence[str]) -> Encoded:
    """Odd texts are missing, and texts that end in 7 are a problem."""
    values = np.array([[len(text), hash_of(text)] for text in texts], np.float32).reshape(len(texts), 2)
    present = np.array([len(text) % 2 == 0 for text in texts], np.bool_)
    problems = tuple(Problem(place, "ends in 7") for place, text in enumerate(texts) if text.endswith("7"))
    return Encoded(values, present, problems)


def hash_of(text: str) -> float:
    return float(sum(ord(letter) * (place + 1) for place, letter in enumerate(text)))


def in_blocks(encode: object, kept: KeptParts | None) -> Encoded:
    return encode_in_blocks(encode, TEXTS, range(len(TEXTS)), 7, kept=kept)  # type: ignore[arg-type]


def assert_same(got: Encoded, wanted: Encoded) -> None:
    np.testing.assert_array_equal(got.values, wanted.values)
    np.testing.assert_array_equal(got.present, wanted.present)
    assert got.values.dtype == wanted.values.dtype
    assert got.problems == wanted.problems


@given(st.lists(st.text(max_size=9), min_size=1, max_size=40), st.integers(1, 50), st.integers(1, 3), st.randoms())
def test_blocks_in_any_order_on_any_threads_are_the_whole(
    texts: list[str], size: int, threads: int, rng: object
) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "threads_here", lambda: threads)
        patch.setattr(blocks, "use_threads", lambda asked: None)
        assert_same(encode_in_blocks(lengths, texts, order, size), lengths(texts))


def test_torch_has_its_threads_back_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(blocks, "threads_here", lambda: 3)
    monkeypatch.setattr(blocks, "use_threads", asked.append)

    def broken(texts: Sequence[str]) -> Encoded:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        in_blocks(broken, None)
    assert asked[-1] == 3
    assert set(asked[:-1]) == {1}


def test_progress_counts_pieces() -> None:
    said: list[tuple[int, int, str]] = []
    encode_in_blocks(lengths, TEXTS, range(100), 30, progress=lambda *words: said.append(words), what="text")
    assert said == [(30, 100, "text"), (60, 100, "text"), (90, 100, "text"), (100, 100, "text")]


def test_what_was_kept_is_not_encoded_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def until(most: int, texts: Sequence[str]) -> Encoded:
        if len(calls) >= most:
            raise KeyboardInterrupt
        calls.append(len(texts))
        return lengths(texts)

    with pytest.raises(KeyboardInterrupt):
        in_blocks(lambda texts: until(5, texts), KeptParts(tmp_path, "same", every=0.0))
    assert_same(in_blocks(lambda texts: until(99, texts), KeptParts(tmp_path, "same", every=0.0)), lengths(TEXTS))
    assert len(calls) == 15
    in_blocks(lambda texts: until(99, texts), KeptParts(tmp_path, "other content", every=0.0))
    assert len(calls) == 30


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "directory"])
def test_damaged_parts_are_made_again(damage: str, tmp_path: Path) -> None:
    in_blocks(lengths, KeptParts(tmp_path, "same", every=0.0))
    path = sorted(tmp_path.glob("*.safetensors"))[3]
    data = path.read_bytes()
    path.unlink()
    if damage == "directory":
        path.mkdir()
    else:
        path.write_bytes({"cut": data[:-9], "flip": data[:-1] + b"x", "empty": b""}[damage])
    kept = KeptParts(tmp_path, "same")
    assert len(kept.read(15)) == 14
    assert_same(in_blocks(lengths, kept), lengths(TEXTS))


def test_a_process_that_is_killed_loses_nothing_that_it_kept(tmp_path: Path) -> None:
    def start(directory: Path, seconds: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SLOW, str(directory), seconds]
        paths = [str(Path(__file__).parent), *sys.path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    first = start(tmp_path / "killed", "0.05")
    assert first.stdout is not None
    for _ in range(4):
        assert first.stdout.readline()
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    kept = len(list((tmp_path / "killed").glob("*.parts/*.safetensors")))
    assert kept >= 3

    second = start(tmp_path / "killed", "0")
    encoded_again = len(second.communicate()[0].splitlines())
    assert second.returncode == 0
    assert encoded_again == 15 - kept

    cache = FeatureCache(tmp_path / "undisturbed")
    cache.encoded("slow", texts_hash(TEXTS), lambda parts: in_blocks(lengths, parts))
    (resumed,) = (tmp_path / "killed").iterdir()
    (undisturbed,) = (tmp_path / "undisturbed").iterdir()
    assert resumed.name == undisturbed.name
    assert resumed.read_bytes() == undisturbed.read_bytes()


def test_parts_are_gone_once_the_whole_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", iter(range(0, 100_000, 60)).__next__)
    seen: list[int] = []

    def make(kept: KeptParts | None) -> Encoded:
        found = in_blocks(lengths, kept)
        seen.append(len(list(tmp_path.glob("*.parts/*"))))
        return found

    FeatureCache(tmp_path).encoded("name", "content", make)
    assert seen == [15]
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
