"""Random search: within its ranges, better with more tries, and going on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.benchmarks.random_search import Range, Values, search

SPACE = {"a": Range(0.01, 100.0, logarithmic=True), "b": Range(1, 9, whole=True), "c": Range(0.1, 1.0, zero=0.5)}


def quality(settings: Values) -> float:
    return -abs(float(np.log(settings["a"]))) - abs(settings["b"] - 5) / 4 - settings["c"]


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_values_are_in_their_range(seed: int, logarithmic: bool, whole: bool) -> None:
    one = Range(2, 50, logarithmic=logarithmic, whole=whole)
    generator = np.random.default_rng(seed)
    value = one.draw(generator)
    for found in (value, one.near(value, generator), one.near(1000.0, generator)):
        assert 2 <= found <= 50
        assert not whole or isinstance(found, int)


def test_a_setting_that_was_off_stays_off_nearby() -> None:
    generator = np.random.default_rng(0)
    assert SPACE["c"].near(0, generator) == 0
    assert 0.3 < np.mean([SPACE["c"].draw(generator) == 0 for _ in range(200)]) < 0.7


def test_it_finds_better_settings_than_it_started_with_and_begins_with_what_is_given(tmp_path: Path) -> None:
    start = {"a": 50.0, "b": 1, "c": 1.0}
    found = search(SPACE, quality, tries=60, seed=1, kept=tmp_path / "tries.jsonl", starts=[start])
    assert len(found) == 60
    assert start in [one["settings"] for one in found]
    assert found[0]["quality"] == max(one["quality"] for one in found)
    assert found[0]["quality"] > -0.7 > quality(start)


def test_it_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    whole = search(SPACE, quality, tries=30, seed=1, kept=tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines()
    (tmp_path / "part.jsonl").write_text("\n".join(lines[:11]) + "\n")
    tried: list[Values] = []

    def counted(settings: Values) -> float:
        tried.append(settings)
        return quality(settings)

    assert search(SPACE, counted, tries=30, seed=1, kept=tmp_path / "part.jsonl") == whole
    assert len(tried) == 19
    assert search(SPACE, pytest.fail, tries=30, seed=1, kept=tmp_path / "part.jsonl") == whole
