"""A run over a population in Parquet releases what a run over the same data in CSV releases."""

from __future__ import annotations

from pathlib import Path

import pytest

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
