"""A release without a content tower is ranked with on a device that has no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ranker_cases import CONFIG, Place, tiny_contents

from fedrec.config import from_tree
from fedrec.release.bundle import write_release
from fedrec.release.keys import SigningKey

FORBIDDEN = """
import sys
for name in ("torch", "torchvision", "opacus", "flwr"):
    sys.modules[name] = None  # importing it raises ImportError
from fedrec.cli.main import main
main()
"""


@pytest.fixture
def towerless(tmp_path: Path) -> Path:
    """The tiny release by behaviour alone, with evidence and both kinds of own content weighed."""
    tree = {**CONFIG, "collaborative": {"scoring": {"weight": 1.0, "popularity_weight": 0.1, "evidence": True}}}
    (tmp_path / "pictures").mkdir()
    contents = replace(tiny_contents(tmp_path / "pictures", from_tree(tree)), model=None)
    write_release(tmp_path / "release", contents, key=SigningKey.fresh())
    return tmp_path / "release"


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--explore", "0.5"]])
def test_a_release_without_a_tower_needs_no_torch(
    place: Place, towerless: Path, tmp_path: Path, more: list[str]
) -> None:
    store = tmp_path / "device.sqlite"
    store.write_bytes(place.store.read_bytes())
    words = ["recommend", str(towerless), "--store", str(store), "--user", "writer", "--top", "3", "--json", *more]
    done = subprocess.run([sys.executable, "-c", FORBIDDEN, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(json.loads(done.stdout)["recommendations"]) == 3
