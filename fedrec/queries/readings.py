"""The candidates among which devices choose where settings set themselves: ways to read the sums, one change each.

The changes are of what no public fact decides: whether what was used last says more (``recency``), how much what
everybody uses should count (``discount``, ``popularity``), and how far content is to be believed (``prior``), and sums
(``ridge``).  Each is by a factor or a step, whatever the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DEFAULT: Final = "default"
POPULARITY: Final = "popularity"


def candidates_around(collaborative: Mapping[str, Any]) -> dict[str, Any]:
    """``candidates``, ``default`` and ``combine`` of a selection around a settings tree of ``collaborative``."""
    prior, ridge = collaborative["prior"]["weight"], collaborative["solver"]["ridge"]
    discount = collaborative["scoring"]["discount"]
    candidates: dict[str, dict[str, Any]] = {
        DEFAULT: {},
        # Where it is 0 already, as of data without times, the default is this one.
        **({"no recency": {"scoring": {"recency": 0.0}}} if collaborative["scoring"]["recency"] else {}),
        "recency": {"scoring": {"recency": 0.75}},
        "popular items more": {"scoring": {"discount": round(max(0.0, discount - 0.2), 6)}},
        "popular items less": {"scoring": {"discount": round(min(1.0, discount + 0.2), 6)}},
        "popularity beside": {"scoring": {"popularity_weight": 0.15}},
        "sums less": {"solver": {"ridge": ridge * 4.0}},
        "sums more": {"solver": {"ridge": ridge / 4.0}},
        POPULARITY: {"scoring": {"weight": 0.0, "popularity_weight": 1.0}},
    }
    if collaborative["fold_in"]:
        weight, unknown = collaborative["fold_in"]["weight"], collaborative["fold_in"]["unknown"]
        candidates |= {
            "table more": {"fold_in": {"weight": round(weight / 2, 6)}},
            "table less": {"fold_in": {"weight": 1.0}},
            "passed by more": {"fold_in": {"unknown": unknown * 4.0}},
        }
    if prior:
        candidates |= {
            "content less": {"prior": {"weight": prior / 3.0}},
            "content more": {"prior": {"weight": prior * 3.0}},
        }
    return {"candidates": candidates, "default": DEFAULT, "combine": True}
