"""torchvision beside a torch it was not built for: declare the operators whose absence breaks its import.

The published Linux wheel of torchvision is a CUDA build. Beside a CPU-only torch its compiled part does not load, and
``import torchvision`` then fails on operators that nobody here uses. Call `prepare` before anything imports
torchvision, be it by way of another library.
"""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

from fedrec.errors import ContentError

_lock = threading.Lock()
_declared: list[object] = []


def prepare() -> bool:
    """Make ``import torchvision`` work; harmless to call again. True where the operators had to be declared.

    ``torchvision.models`` and ``torchvision.transforms.v2`` work afterwards; ``torchvision.io`` and ``.ops`` do not.

    Raises:
        ContentError: torchvision is not installed.
    """
    import torch

    with _lock:
        if _declared:
            return True
        found = importlib.util.find_spec("torchvision")
        if found is None or found.origin is None:
            raise ContentError("torchvision is not installed", action="pip install 'torchvision>=0.28,<0.29'")
        if _loads(Path(found.origin).parent):
            return False
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name, schema in {
            "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        }.items():
            if not hasattr(torch.ops.torchvision, name):
                library.define(name + schema)  # type: ignore[no-untyped-call]
        _declared.append(library)
        return True


def _loads(package: Path) -> bool:
    """Whether the compiled part loads, and with it the operators."""
    import torch

    for path in (*package.glob("_C*.so"), *package.glob("_C*.pyd"), *package.glob("_C*.dylib")):
        try:
            torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
        except OSError:
            return False
        return True
    return False
