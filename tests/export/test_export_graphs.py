"""Exports to ONNX and ExecuTorch, run by their own runtimes."""

import importlib.util
import json
from pathlib import Path

import pytest
from export_cases import write_case

from fedrec.errors import MissingExtraError
from fedrec.export.write import write_export

CAN_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
CAN_EXECUTORCH = importlib.util.find_spec("executorch") is not None


@pytest.mark.slow
@pytest.mark.skipif(not CAN_ONNX, reason="the extra 'export' is not installed")
def test_onnx_runtime_ranks_as_the_device_does(tmp_path: Path) -> None:
    # Of all kinds the one with every part: tower with time, table, fold-in, evidence.
    found = write_export(write_case(tmp_path / "model", "mean"), tmp_path / "out", "onnx", length=16)
    assert found.parity is not None
    assert found.parity.holds
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record["inputs"]["history"]["shape"] == [16]
    assert record["inputs"]["time"]["read"] is True
    items = json.loads((tmp_path / "out" / "items.json").read_text())
    assert len(items["ids"]) == len(items["order"]) == record["outputs"]["scores"]["shape"][0]


@pytest.mark.slow
@pytest.mark.skipif(not CAN_EXECUTORCH, reason="ExecuTorch is not installed")
def test_executorch_ranks_as_the_device_does(tmp_path: Path) -> None:
    found = write_export(write_case(tmp_path / "model", "mean"), tmp_path / "out", "executorch", length=16)
    assert found.parity is not None
    assert found.parity.holds


@pytest.mark.skipif(CAN_EXECUTORCH, reason="ExecuTorch is installed")
def test_without_executorch_the_command_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match="executorch") as caught:
        write_export(write_case(tmp_path / "model", "plain"), tmp_path / "out", "executorch", length=8)
    assert "pip install" in caught.value.action
    assert not (tmp_path / "out").exists()
