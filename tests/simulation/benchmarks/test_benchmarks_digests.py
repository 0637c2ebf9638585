"""Digests tell equal runs from different ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedrec.simulation.shop.generate import write_shop
from simulations.benchmarks.digests import main

CONFIG = """
[model]
tower = false
[collaborative.cooccurrence]
enabled = false
[privacy]
epsilon = {epsilon}
"""


def test_the_same_run_has_the_same_digests_and_another_budget_has_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    write_shop(tmp_path / "shop", users=24, items=150, seed=1)
    config, first = tmp_path / "one.toml", tmp_path / "first.json"
    config.write_text(CONFIG.format(epsilon=8.0))
    shop = str(tmp_path / "shop")
    assert main([shop, "--config", str(config), "--out", str(first)]) == 0
    again = [shop, "--config", str(config), "--out", str(tmp_path / "again.json"), "--against", str(first)]
    assert main(again) == 0
    assert json.loads(first.read_text())["one"]["ledger"][0][:2] == ["popularity", 0]
    config.write_text(CONFIG.format(epsilon=4.0))
    assert main(again) == 1
