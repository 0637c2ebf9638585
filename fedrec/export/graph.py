"""The module that ONNX and ExecuTorch are made of: how many steps it takes, and what it is fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.export.module import HistoryScores
from fedrec.export.parity import TOLERANCE, Parity, Probe, compared
from fedrec.export.parts import RankingParts

INPUTS: Final = ("history", "time")
OUTPUT: Final = "scores"
_STEPS: Final = (8, 16, 32, 64)

GraphRun = Callable[[NDArray[np.int64], NDArray[np.float32]], NDArray[np.float32]]


def module_of(parts: RankingParts, probes: Sequence[Probe], *, length: int) -> HistoryScores:
    """The module with as few steps of its solver as bring its scores within a quarter of the tolerance, or the most."""
    model = HistoryScores(parts, length=length, steps=_STEPS[0]).eval()
    if parts.fold_in is None:
        return model
    for steps in _STEPS:
        model = HistoryScores(parts, length=length, steps=steps).eval()
        if parity_of(_eager(model), probes, parts, length).difference <= TOLERANCE / 4:
            break
    return model


def parity_of(run: GraphRun, probes: Sequence[Probe], parts: RankingParts, length: int) -> Parity:
    """How what runs a graph compares with the device."""
    return compared(probes, [run(padded(probe.places, length), probe.time) for probe in probes], parts.order)


def padded(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """A history as a graph reads it: int64 [length], the newest last, -1 at the front; the oldest left out."""
    found = np.full(length, -1, dtype=np.int64)
    if kept := min(len(places), length):
        found[length - kept :] = places[len(places) - kept :]
    return found


def facts_of(model: HistoryScores, parts: RankingParts) -> dict[str, Any]:
    """What whoever feeds a graph must know, as JSON has it."""
    return {
        "inputs": {
            "history": {"type": "int64", "shape": [model.length], "unused": -1},
            "time": {"type": "float32", "shape": [4], "read": parts.reads_time},
        },
        "outputs": {OUTPUT: {"type": "float32", "shape": [model.items]}},
    }


def _eager(model: HistoryScores) -> GraphRun:
    def run(history: NDArray[np.int64], time: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: NDArray[np.float32] = model(torch.from_numpy(history), torch.from_numpy(time)).numpy()
        return found

    return run
