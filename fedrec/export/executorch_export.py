"""A release's ranking as an ExecuTorch program, and the same program run by ExecuTorch's runtime."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.export.graph import GraphRun
from fedrec.export.module import HistoryScores
from fedrec.extras import need


def executorch_bytes(model: HistoryScores) -> bytes:
    """The program as the bytes of a ``.pte`` file, for the portable kernels.

    Raises:
        MissingExtraError: ExecuTorch is not installed.
    """
    exir: Any = need("executorch.exir", "executorch", what="export to ExecuTorch")
    logging.getLogger("executorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, model.inputs())
        encoded: bytes = exir.to_edge(program).to_executorch().buffer
    return encoded


def executorch_runner(encoded: bytes) -> GraphRun:
    """What runs the program. Raises MissingExtraError where ExecuTorch's runtime is not installed."""
    runtime: Any = need("executorch.runtime", "executorch", what="checking an ExecuTorch export")
    method = runtime.Runtime.get().load_program(encoded).load_method("forward")

    def run(history: NDArray[np.int64], time: NDArray[np.float32]) -> NDArray[np.float32]:
        found = method.execute((torch.from_numpy(history), torch.from_numpy(time)))[0]
        scores: NDArray[np.float32] = found.numpy().copy()
        return scores

    return run
