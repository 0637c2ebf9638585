"""The table of parameters in the documents is what the command prints."""

from __future__ import annotations

from pathlib import Path

from simulations.benchmarks.secagg_parameters import SIZES, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "secure-aggregation.md"


def test_the_table_of_parameters_is_as_it_is_printed() -> None:
    lines = table()
    assert len(lines) == len(SIZES) + 2
    assert "\n".join(lines) in PAGE.read_text(encoding="utf-8")
