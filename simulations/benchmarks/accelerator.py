"""What an accelerator gives: W1, the tower and encoding on it beside the processor, and how far the results are apart.

    python -m simulations.benchmarks.accelerator [--json]

Says "not at hand" where there is none. The same code runs on both sides; what is compared was found by one clip of the
same rows, and by one network over the same pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedrec.accelerator import CPU, device_name, devices_there, exact_device, use_device
from fedrec.config import ModelSettings
from fedrec.content import torchvision_shim
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import Recommender
from fedrec.model.rows import Rows
from fedrec.simulation.bench import w1
from fedrec.simulation.bench.measuring import in_turn
from fedrec.testing import model_cases
from fedrec.training.clipping import ClippedGradients, RowLoss, choose_mode

PARITY: Final = 1e-4
"""How far sums clipped to norm 1 a row, and features of unit norm, may be apart, relative to their size."""
ROWS: Final = 512
SECONDS: Final = 10.0
NOT_AT_HAND: Final = "not at hand"


def measured() -> dict[str, Any] | str:
    """The card's name, and for each workload seconds on both sides, the ratio and the distance; or `NOT_AT_HAND`."""
    fastest = devices_there()[0]
    if fastest == CPU:
        return NOT_AT_HAND
    try:
        use_device("auto")
        cases = {"w1": _clipped(w1.W1Model, w1.loss, w1.batch(ROWS, 0)), "tower": _tower(), "encoding": _encoded()}
        return {"card": device_name(fastest), "exact work on": exact_device()} | {
            name: _beside(run, exact_device() if name != "encoding" else fastest) for name, run in cases.items()
        }
    finally:
        use_device(CPU)


def _beside(run: Callable[[str], NDArray[np.float64]], device: str) -> dict[str, Any]:
    here, there = run(CPU), run(device)
    apart = float(np.abs(here - there).max() / max(float(np.abs(here).max()), 1e-12))
    found = in_turn({CPU: lambda: run(CPU), "card": lambda: run(device)}, SECONDS)
    ratio = found[CPU].ratio_to(found["card"])
    facts = {name: timing.facts() for name, timing in found.items()}
    return {**facts, "times as fast": round(ratio, 2), "apart": apart, "parity": apart <= PARITY}


def _clipped(make: Callable[[], nn.Module], loss: RowLoss, rows: Rows) -> Callable[[str], NDArray[np.float64]]:
    """The clipped sum of rows of the same model on either device."""
    first = make().state_dict()
    kept: dict[str, ClippedGradients] = {}

    def run(device: str) -> NDArray[np.float64]:
        if device not in kept:
            model = make()
            model.load_state_dict(first)
            mode = choose_mode("auto", model, flattens_rows=bool(getattr(model, "flattens_rows", False)))
            kept[device] = ClippedGradients(model.to(device), loss, 1.0, mode)
        return kept[device](rows)[0]

    return run


def _tower() -> Callable[[str], NDArray[np.float64]]:
    settings = ModelSettings()
    rows = model_cases.make_rows(settings, model_cases.SHAPES, rows=ROWS)

    def make() -> nn.Module:
        return Recommender(settings, model_cases.SHAPES, seed=0, temperature=0.1)

    return _clipped(make, lambda logits, batch: loss_per_row("sampled-softmax", logits, batch), rows)


def _encoded() -> Callable[[str], NDArray[np.float64]]:
    """Pictures through a convolutional network of random weights, whose speed is that of trained ones."""
    torchvision_shim.prepare()
    from torchvision import models

    torch.manual_seed(0)
    module = models.mobilenet_v3_small(weights=None).eval()
    pictures = torch.rand((64, 3, 128, 128), generator=torch.Generator().manual_seed(0))

    def run(device: str) -> NDArray[np.float64]:
        with torch.inference_mode():
            found: NDArray[np.float64] = module.to(device)(pictures.to(device)).cpu().double().numpy()
        return found

    return run


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args()
    found = measured()
    sys.stdout.write((json.dumps(found, indent=None if given.json else 2) if found else NOT_AT_HAND) + "\n")


if __name__ == "__main__":
    main()
