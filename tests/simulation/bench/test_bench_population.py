"""The benchmark of populations runs, and all places hold the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedrec.data.population_file import FILE, PopulationFile
from fedrec.simulation.bench.population import (
    ITEMS,
    from_sqlite,
    from_stores,
    population,
    run_population,
    write_parquet,
    write_sqlite,
    write_stores,
)


def test_all_places_hold_the_same_cohort(tmp_path: Path) -> None:
    rows, places = population(30), np.array([7, 0, 29])
    write_parquet(tmp_path, rows)
    write_sqlite(tmp_path / "events.sqlite", rows)
    write_stores(tmp_path / "stores", rows, places)
    expected = [history.tolist() for history in (rows.histories[place] for place in places)]
    taken = PopulationFile(tmp_path / FILE, ITEMS).take(places).histories
    assert [taken[place].tolist() for place in range(3)] == expected
    assert [one.tolist() for one in from_sqlite(tmp_path / "events.sqlite", places)] == expected
    assert [one.tolist() for one in from_stores(tmp_path / "stores", places)] == expected


def test_it_runs() -> None:
    found = run_population(users=40, cohort=5, seconds=0.01)
    assert found["cohort"] == 5
    for place in ("memory", "parquet", "parquet-all", "sqlite", "stores"):
        assert found[place]["median"] > 0 and found[place]["times_memory"] > 0
    assert found["memory"]["bytes"] is None and found["parquet"]["bytes"] > 0
