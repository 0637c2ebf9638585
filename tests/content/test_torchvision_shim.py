from __future__ import annotations

import subprocess
import sys

import pytest

from fedrec.content import torchvision_shim
from fedrec.errors import ContentError


@pytest.mark.slow
def test_a_fresh_process_can_import_torchvision_after_prepare() -> None:
    code = (
        "from fedrec.content.torchvision_shim import prepare; first = prepare(); assert prepare() == first;"
        "import torchvision; from torchvision import models; from torchvision.transforms import v2;"
        "assert first != torchvision.extension._has_ops(); print(v2.Resize(4), models.resnet18(weights=None).fc)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Resize" in run.stdout and "in_features=512" in run.stdout


def test_a_missing_torchvision_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_shim, "_declared", [])
    monkeypatch.setattr(torchvision_shim.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ContentError, match="torchvision is not installed"):
        torchvision_shim.prepare()
