"""A release's ranking as an ONNX graph, and the same graph run by ONNX Runtime."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.errors import ReleaseError
from fedrec.export.graph import INPUTS, OUTPUT, GraphRun
from fedrec.export.module import HistoryScores
from fedrec.extras import need

LARGEST = 2 << 30
"""Bytes of one ONNX file, the limit of its format."""


def onnx_bytes(model: HistoryScores) -> bytes:
    """The graph as the bytes of an ONNX file, its constants inside.

    Raises:
        MissingExtraError: the extra ``export`` is not installed.
        ReleaseError: the catalogue is too large for one file.
    """
    need("onnx", "export", what="export to ONNX")
    need("onnxscript", "export", what="export to ONNX")
    size = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    if size >= LARGEST:
        raise ReleaseError("the catalogue is too large for one ONNX file", value=size, action="Export with --to json")
    program = _traced(model)
    if program is None:
        raise ReleaseError("the graph cannot be written as ONNX", action="Export with --to json")
    encoded: bytes = program.model_proto.SerializeToString()
    return encoded


def onnx_runner(encoded: bytes) -> GraphRun:
    """What runs the graph on one core. Raises MissingExtraError where ONNX Runtime is not installed."""
    runtime: Any = need("onnxruntime", "export", what="checking an ONNX export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(encoded, options, providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}

    def run(history: NDArray[np.int64], time: NDArray[np.float32]) -> NDArray[np.float32]:
        feed = {name: value for name, value in zip(INPUTS, (history, time), strict=True) if name in names}
        found: NDArray[np.float32] = session.run([OUTPUT], feed)[0]
        return found

    return run


def _traced(model: HistoryScores) -> Any:
    # The exporter talks to whoever listens; what matters of it is an exception.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                model, model.inputs(), dynamo=True, input_names=list(INPUTS), output_names=[OUTPUT], verbose=False
            )
    finally:
        logger.setLevel(level)
