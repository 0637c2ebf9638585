"""A run over a population in Parquet releases what a run over the same data in CSV releases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedrec.simulation import measure
from fedrec.simulation.shop import write_shop
from simulations.benchmarks.digests import digests_of

SETTINGS = """
[model]
preset = "factors"
[content]
modalities = ["text", "attributes"]
[privacy]
epsilon = 8.0
"""


def test_both_forms_of_a_shop_give_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    config = tmp_path / "settings.toml"
    config.write_text(SETTINGS, encoding="utf-8")
    for form in ("csv", "parquet"):
        write_shop(tmp_path / form / "shop", users=60, items=140, form=form, pictures=False)
    first, second = (digests_of(config, tmp_path / form / "shop") for form in ("csv", "parquet"))
    assert first == second
    assert first["arrays"] and first["ledger"]


def test_over_a_large_catalogue_fewer_people_are_measured_at_once() -> None:
    people = np.arange(600)
    assert [len(block) for block in measure._blocks(people, 9_724)] == [256, 256, 88]
    large = list(measure._blocks(people, 1_000_000))
    assert max(map(len, large)) == 33
    np.testing.assert_array_equal(np.concatenate(large), people)
    assert len(next(measure._blocks(people, 10**9))) == 1
