"""The tables of newcomers and of cold items: which runs, which figures, and what a missing one looks like."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fedrec.config import Config
from fedrec.console import DASH
from fedrec.simulation.shop.generate import write_shop
from simulations.benchmarks import cold_items, newcomers


def measure(hits: float) -> dict[str, Any]:
    return {"loo-99neg": {"hr@10": hits, "ndcg@10": hits / 2}}


def run(hits: float, bare: float | None) -> dict[str, Any]:
    one = {**measure(hits), "without-own-content": None if bare is None else measure(bare)}
    cold = {"items": 30, "users": 20, "hr@10": 0.4, "ndcg@10": 0.2, "times_chance": 4.0}
    return {"quality": {"history-at-most": dict.fromkeys(("0", "1", "3", "all"), one), "cold-items": cold}}


def test_the_two_configs_differ_in_the_weighing_alone() -> None:
    fixed, weighed = (newcomers.config_of(evidence).model_dump() for evidence in (False, True))
    assert weighed["collaborative"]["scoring"].pop("evidence") and not fixed["collaborative"]["scoring"].pop("evidence")
    assert fixed == weighed
    assert newcomers.config_of(True).evaluation.history_at_most == (0, 1, 3)


def test_a_line_of_newcomers_has_what_notes_add() -> None:
    rows = newcomers.rows_of("music", 8.0, [run(0.3, None)] * 2, [run(0.6, 0.5)] * 2)
    assert [row[2] for row in rows] == ["0", "1", "3", "all"]
    assert rows[0] == ["music", "8", "0", ".300 ± .000 / .150 ± .000", ".500 ± .000 / .250 ± .000",
                       ".600 ± .000 / .300 ± .000", "+20.0%"]  # fmt: skip
    (nobody, *_) = newcomers.rows_of("films", 8.0, [run(0.3, None)], [run(0.6, None)])
    assert nobody[4] == f"{DASH} / {DASH}" and nobody[6] == DASH
    assert "| music | 8 | 0 |" in newcomers.markdown(rows, 2, "python -m this")


@pytest.mark.parametrize("name", ["cold-items", "newcomers"])
def test_cold_items_are_kept_out_in_both_configs(name: str) -> None:
    config = cold_items.config_of(name)
    assert isinstance(config, Config) and config.evaluation.cold == 0.2 and not config.evaluation.history_at_most


def test_a_line_of_cold_items() -> None:
    row = cold_items.row_of("music", "newcomers", 8.0, [run(0.6, 0.5)])
    assert row == ["music", "newcomers", "8", "30", "20", ".400", ".200", "4.0", DASH]
    assert "| music | newcomers | 8 | 30 |" in cold_items.markdown([row], 1, "python -m this")


@pytest.mark.slow
def test_both_tables_from_data_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shop(tmp_path / "shop", users=60, items=140, seed=2)
    for module, name in ((newcomers, "newcomers"), (cold_items, "cold_items")):
        out = tmp_path / name
        asked = [name, str(tmp_path / "shop"), "--out", str(out), "--seeds", "1", "--epsilon", "8"]
        monkeypatch.setattr(sys, "argv", asked)
        module.main()
        rows = json.loads((out / f"{name}.json").read_text())["rows"]
        assert rows and str(tmp_path) not in (out / f"{name}.md").read_text()
