"""``fedrec bench rank``: every search beside a plain pass, and peers only where they are installed."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.errors import ConfigError, MissingExtraError
from fedrec.simulation.bench.rank import VECTORS, RankSizes, drawn
from fedrec.simulation.bench.rank_rivals import rival


def test_every_search_is_timed_beside_a_plain_pass_and_finds_the_best() -> None:
    words = ["bench", "rank", "--items", "3000", "--width", "16", "--seconds", "0", "--json"]
    done = CliRunner().invoke(build(), words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    for kind in VECTORS:
        searches = told[kind]["searches"]
        assert searches["plain pass"]["to plain pass"] == 1.0
        assert all(searches[name]["recall"] == 1.0 for name in ("float32", "float16", "int8"))
        assert searches["int8 alone"]["recall"] > 0.9
        assert told[kind]["bytes"]["int8"] < told[kind]["bytes"]["float16"] < told[kind]["bytes"]["float32"]


def test_vectors_are_the_same_each_time() -> None:
    sizes = RankSizes(200, 8, 10)
    for kind in VECTORS:
        for first, second in zip(drawn(sizes, kind), drawn(sizes, kind), strict=True):
            assert first.dtype == np.float32 and np.array_equal(first, second)


def test_a_peer_that_is_not_there_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match="faiss is not installed") as raised:
        rival("faiss", np.zeros((2, 2), dtype=np.float32), 1)
    assert "rank-requirements" in raised.value.action
    unknown = CliRunner().invoke(build(), ["bench", "rank", "--against", "none"])
    assert unknown.exit_code == ConfigError.exit_code
