"""A run over a population in Parquet releases what a run over the same data in CSV releases."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedrec.ranking.score import USER_BLOCK, users_at_once
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
    assert [users_at_once(items) for items in (1, 9_724, 65_536)] == [USER_BLOCK] * 3
    assert users_at_once(1_000_000) == 16  # 64 MB of scores
    assert users_at_once(10**9) == 1
