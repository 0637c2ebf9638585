"""Weights of torchvision's networks for tests: random, written by the test, found where downloaded ones would be."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedrec.content import torchvision_shim
from fedrec.content.backbones import BACKBONES


def weights_of(network: str, path: Path) -> Path:
    """A state dict of the network with random weights."""
    torch = pytest.importorskip("torch")
    torchvision_shim.prepare()
    from torchvision import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = getattr(models, network.replace("-", "_"))(weights=None)
    torch.save(module.state_dict(), path)
    return path


def weights_at_hand(network: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same in a hub cache below ``home``, which torch is made to look in."""
    monkeypatch.setenv("TORCH_HOME", str(home))
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    return weights_of(network, folder / BACKBONES[network].file)
