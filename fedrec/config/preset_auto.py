"""Preset ``auto``: where settings that set themselves begin; none of these numbers belongs to a data set.

What is asked, and how much of the budget it gets, `fedrec.queries.sizing` fills in; which changes of what stands here
the devices may choose, `fedrec.queries.readings` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

AUTO: Final[Mapping[str, Any]] = {
    "content": {"text": {"dimension": 0}},
    "model": {"tower": False, "notes": True, "photos": True},
    "collaborative": {
        "follows_noise": True,
        "shrink_popularity": True,
        "power_iteration": {"whitening": 0.3, "scale": 1.0, "denoising": "content", "combine_steps": True},
        "prior": {
            "weight": 0.6,
            "modalities": {"text": 1.0, "attributes": 0.8, "image": 0.3},
            "weighed_by_sums": True,
            "leading": 0.4,
            "sharpness": 1.5,
        },
        "solver": {"ridge": 20.0},
        "scoring": {"weight": 1.0, "discount": 0.2, "recency": 0.2, "evidence": True},
        "fold_in": {
            "weight": 0.7,
            "rank": 96,
            "flattening": 0.5,
            "power": 0.4,
            "unknown": 0.1,
            "ridge": 0.012,
        },
    },
}
