"""``fedrec bench features`` runs, on a network with random weights that needs no extra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.content import torchvision_shim
from fedrec.content.backbones import BACKBONES


def test_it_tells_our_share_of_the_bare_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_shim.prepare()
    from torchvision import models

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / BACKBONES["mobilenet-v3-small"].file
    path.parent.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.save(models.mobilenet_v3_small(weights=None).state_dict(), path)
    words = ["bench", "features", "--network", "mobilenet-v3-small", "--items", "6", "--seconds", "0", "--json"]
    done = CliRunner().invoke(build(), words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert (found["network"], found["items"]) == ("mobilenet-v3-small", 6)
    assert found["ours"]["runs"] == found["bare"]["runs"] == 3
    assert found["share"] > 0
