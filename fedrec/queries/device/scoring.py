"""What the queries ``validation`` and ``metrics`` score with: the model and factors that a request carries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fedrec.collaborative import item_tables
from fedrec.collaborative.collaborative_factors import ARRAYS, FACTORS, CollaborativeFactors
from fedrec.config import Config
from fedrec.content.feature_table import Features

if TYPE_CHECKING:
    from fedrec.ranking.score import Scorer


class KeptScorer:
    """The scorer of the last broadcast, kept: one process may answer for thousands of simulated devices."""

    def __init__(self, config: Config, features: Features) -> None:
        self.config, self.features = config, features
        self._kept: tuple[bytes, Scorer] | None = None

    def of(self, arrays: Mapping[str, NDArray[Any]]) -> Scorer:
        """The scorer for these arrays. Raises ModelError where they fit no model of these settings."""
        digest = hashlib.sha256(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))).digest()
        if self._kept is None or self._kept[0] != digest:
            self._kept = (digest, make_scorer(self.config, self.features, arrays))
        return self._kept[1]


def make_scorer(config: Config, features: Features, arrays: Mapping[str, NDArray[Any]]) -> Scorer:
    """The scorer for broadcast parameters and collaborative factors; a part that ``arrays`` lacks counts nothing."""
    from fedrec.model import parameters
    from fedrec.model.build import build_model
    from fedrec.ranking.score import Scorer

    model = None
    if "parameters" in arrays:
        tables = item_tables.agreed(config, arrays, len(features))
        features = item_tables.extended(config, features, tables)
        model = build_model(config, features)
        parameters.receive(model, arrays)
    table = {name: arrays[name] for name in (*ARRAYS, FACTORS) if name in arrays}
    collaborative = CollaborativeFactors.from_arrays(table) if set(ARRAYS) <= set(table) else None
    return Scorer(
        model=model,
        features=features,
        collaborative=collaborative,
        settings=config.collaborative,
        model_settings=config.model,
    )
