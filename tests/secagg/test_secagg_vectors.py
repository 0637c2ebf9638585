"""Known answers: what is computed today is what was written down, byte for byte, and so is what is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fedrec.secagg.codec import VERSION

HERE = Path(__file__).parent / "vectors"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("secagg_make_vectors", HERE / "make_vectors.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


def _written(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["parts", "rounds", "hostile"])
def test_the_same_secrets_give_the_same_bytes(name: str) -> None:
    first, second = (json.loads(json.dumps(getattr(GENERATOR, name)())) for _ in range(2))
    assert first == second
    assert first == _written(name), "the protocol's bytes changed: raise codec.VERSION and write the vectors anew"


def test_the_totals_are_sums() -> None:
    """The answers themselves, by plain arithmetic."""
    rounds = _written("rounds")
    for name, kept in (("everybody", 9), ("dropouts", 7)):
        case = rounds[name]
        assert len(case["survivors"]) == kept
        columns = zip(*case["vectors"][:kept], strict=True)
        assert case["total"] == [sum(column) % 2 ** case["bits"] for column in columns]


def test_hostile_cases_cover_many_reasons() -> None:
    assert len({case["reason"] for case in _written("hostile")}) >= 10
    assert VERSION == 2
