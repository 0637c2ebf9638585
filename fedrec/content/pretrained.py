"""Pretrained encoders come with an optional extra, and nothing of theirs is fetched while fedrec runs."""

from __future__ import annotations

import os
from types import ModuleType

from fedrec.extras import need

EXTRA = "pretrained"


def need_pretrained(module: str, what: str) -> ModuleType:
    """Import ``module`` of the extra ``pretrained``, offline.

    Raises:
        MissingExtraError: it is not installed, or does not import here; ``what`` says what needs it.
    """
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.setdefault(name, "1")
    return need(module, EXTRA, what=what)
