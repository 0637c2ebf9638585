"""The example of an own encoder and an own fusion: they keep their contracts, and two engines run them."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fedrec.config import TextSettings
from fedrec.content.registry import TEXT_ENCODERS
from fedrec.errors import ReleaseError
from fedrec.model.registry import FUSIONS
from fedrec.release.bundle import read_release
from fedrec.testing import TEXTS, EncoderContract, FusionContract


def _example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "own_encoder.py"
    spec = importlib.util.spec_from_file_location("own_encoder", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_encoder"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def own_encoder() -> Any:
    yield _example()
    for registry, name in ((TEXT_ENCODERS, "trigrams"), (FUSIONS, "by-coordinate")):
        registry.unregister(name)  # other tests of this process compare the registries with the documents


def _trigrams() -> Any:
    return sys.modules["own_encoder"].Trigrams


class TestTrigrams(EncoderContract):
    content, missing = TEXTS, ""

    @staticmethod
    def fit() -> Any:
        return _trigrams().fit(TEXTS, TextSettings(dimension=64))

    @staticmethod
    def fit_otherwise() -> Any:
        return _trigrams().fit(TEXTS, TextSettings(dimension=65))


class TestByCoordinate(FusionContract):
    fusion = "by-coordinate"


@pytest.mark.slow
def test_both_engines_run_it_and_its_release_says_what_it_needs(
    own_encoder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    runs = own_encoder.main(tmp_path)
    assert runs["cohort"]["model"] == runs["grid"]["model"]
    assert runs["cohort"]["privacy"]["epsilon_released"] == runs["grid"]["privacy"]["epsilon_released"] <= 8.0
    assert runs["grid"]["secure_aggregation"]["protocol"] == "secagg+"
    release = tmp_path / "grid" / "model"
    contents = read_release(release).contents
    assert {(need.kind, need.name) for need in contents.requires} == {
        ("text encoder", "trigrams"),
        ("fusion", "by-coordinate"),
    }
    assert json.loads((release / "requires.json").read_text())["parts"][0]["origin"] == "module own_encoder"
    assert "trigrams" in contents.card
    TEXT_ENCODERS.unregister("trigrams")
    try:
        with pytest.raises(ReleaseError, match="text encoder 'trigrams' of module own_encoder"):
            read_release(release)
    finally:
        TEXT_ENCODERS.register("trigrams")(own_encoder.Trigrams)
    assert "by-coordinate" in FUSIONS
