"""The example of an own query: it keeps the contract of queries, and two engines ask it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from fedrec.queries.registry import QUERIES
from fedrec.testing.queries import QueryContract

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_query.py"


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_query", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_query"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def own_query() -> Any:
    yield _example()
    QUERIES.unregister("history-lengths")  # other tests of this process count the queries


class TestHistoryLengths(QueryContract):
    query: ClassVar[str] = "history-lengths"
    settings: ClassVar[Mapping[str, Any]] = {"queries": {"history-lengths": {}}}


@pytest.mark.slow
def test_both_engines_ask_it(own_query: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    found = own_query.main(tmp_path)
    assert set(found) == {"cohort", "grid"}
    assert all(set(spans) == set(own_query.SPANS) for spans in found.values())


OUTSIDE = """
import json, sys
from pathlib import Path
import fedrec
from fedrec.queries.registry import QUERIES
assert "history-lengths" in QUERIES
assert QUERIES.origin("history-lengths") == "outside-queries 1.0"
shop = Path(sys.argv[1]) / "shop"
fedrec.make_shop(shop, users=24)
import own_query
for engine in ("cohort", "grid"):
    overrides = {**own_query.SETTINGS, "run.engine": engine}
    run = fedrec.simulate("defaults", shop, overrides=overrides, out=Path(sys.argv[1]) / engine)
    print(engine, json.dumps(run.record["queries"]["history-lengths"]))
"""


@pytest.mark.slow
def test_a_query_of_an_installed_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    package = tmp_path / "site"
    (package / "outside_queries-1.0.dist-info").mkdir(parents=True)
    (package / "outside_queries-1.0.dist-info" / "METADATA").write_text("Name: outside-queries\nVersion: 1.0\n")
    points = "[fedrec.queries]\nhistory-lengths = own_query:HISTORY_LENGTHS\n"
    (package / "outside_queries-1.0.dist-info" / "entry_points.txt").write_text(points)
    code = EXAMPLE.read_text().replace("@register_query\n", "")
    (package / "own_query.py").write_text(code + "\n\nHISTORY_LENGTHS = HistoryLengths()\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(EXAMPLE.parents[1])])}
    environment["FEDREC_CACHE"] = str(tmp_path / "cache")
    command = [sys.executable, "-c", OUTSIDE, str(tmp_path / "runs")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["cohort", "grid"]
