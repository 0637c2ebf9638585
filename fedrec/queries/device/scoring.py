"""What queries about a model score with: the model and factors that a request carries.

It is held to finite scores on public data before anybody is ranked for: see `fedrec.queries.device.public_check`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative import item_tables
from fedrec.collaborative.collaborative_factors import ARRAYS, FACTORS, CollaborativeFactors
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import ProtocolError
from fedrec.queries.device.public_check import LARGEST_POPULARITY, check_array, check_item_vectors
from fedrec.users import Histories, UserBatch

if TYPE_CHECKING:
    from fedrec.ranking.score import Scorer


class KeptScorer:
    """The scorer of the last broadcast, kept: one process may answer for thousands of simulated devices."""

    def __init__(self, config: Config, features: Features) -> None:
        self.config, self.features = config, features
        self._kept: tuple[bytes, Scorer] | None = None

    def of(self, arrays: Mapping[str, NDArray[Any]], config: Config | None = None) -> Scorer:
        """The scorer for these arrays, checked once a broadcast.

        ``config``: with what was chosen, where the request says what; else the settings that the device accepted.

        Raises:
            ProtocolError: what it scores with is beyond all numbers, see `check_scorer`.
            ModelError: they fit no model of these settings.
        """
        config = config or self.config
        digest = digest_of(arrays, config)
        if self._kept is None or self._kept[0] != digest:
            check_scored_with(arrays)
            scorer = make_scorer(config, self.features, arrays)
            check_scorer(scorer)
            self._kept = (digest, scorer)
        return self._kept[1]


def digest_of(arrays: Mapping[str, NDArray[Any]], config: Config) -> bytes:
    """Names a broadcast, and how it is read."""
    told = b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))
    return hashlib.sha256(config.collaborative.model_dump_json().encode() + told).digest()


def check_scored_with(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Hold what a request carries to `public_check`'s limits. Raises ProtocolError."""
    for name, values in arrays.items():
        if name == "popularity":
            check_array(name, values, largest=LARGEST_POPULARITY, norm=LARGEST_POPULARITY)
        elif values.dtype.kind == "f":
            check_array(name, values)


def check_scorer(scorer: Scorer) -> None:
    """Hold a scorer to finite scores for all that a history may be made of: nothing, and the whole catalogue.

    Raises:
        ProtocolError: it is beyond all numbers for some item, whether anybody has the item or not.
    """
    with np.errstate(all="ignore"):
        if scorer.tower is not None:
            check_item_vectors(scorer.tower.vectors().numpy())
        anybody = UserBatch(Histories.of([[], np.arange(scorer.items)]))
        scored = [scorer.parts_of(anybody).total] + ([] if scorer.tower is None else [scorer.tower.scores(anybody)])
    if not all(np.isfinite(scores).all() for scores in scored):
        raise ProtocolError("what a request scores with leads beyond all numbers", value=scorer.items)


def make_scorer(config: Config, features: Features, arrays: Mapping[str, NDArray[Any]]) -> Scorer:
    """The scorer for broadcast parameters and collaborative factors; a part that ``arrays`` lacks counts nothing."""
    from fedrec.ranking.score import Scorer

    model = None
    if "parameters" in arrays:
        from fedrec.model import parameters  # here, since torch takes seconds to import
        from fedrec.model.build import build_model

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
