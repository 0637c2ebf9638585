"""What all rivals share: one split, one set of public features, one way to measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.content_kernel import content_factors
from fedrec.config import ContentSettings, PriorSettings
from fedrec.config.content import TextSettings
from fedrec.content.cache import cache_directory
from fedrec.content.catalogue import Catalogue
from fedrec.content.feature_table import Features
from fedrec.content.features import build_features
from fedrec.data.reader import read_dataset
from fedrec.data.splits import Split, split
from fedrec.model.clock import UNKNOWN
from fedrec.privacy.calibrate import delta_for
from fedrec.ranking.protocols import Evaluation, HeldOut, evaluate
from fedrec.users import Histories, pointers_of

Target = Literal["valid", "test"]
_BLOCK = 512
_COLUMNS = 128
# How much each modality says in the kernel of items, as in simulations/configs/ml100k-fedrec.toml.
_MODALITIES = {"text": 0.7, "attributes": 0.8, "image": 0.1}


@dataclass(frozen=True, eq=False)
class RivalStudy:
    """A data set as rivals have it: what is held out, how many items there are, and their public content.

    ``ordered``: whether the order of a user's events is known.
    """

    name: str
    held: Split
    items: int
    content: Features
    ordered: bool

    @property
    def users(self) -> int:
        """How many users, each a privacy unit."""
        return len(self.held.training)

    @property
    def delta(self) -> float:
        """users^-1.1, as fedrec's."""
        return delta_for(self.users)

    def histories(self, target: Target) -> Histories:
        """What users rank with: their training items, and for the test item the validation item, as fedrec's do."""
        return self.held.training if target == "valid" else with_last(self.held.training, self.held.valid)

    @lru_cache(maxsize=4)  # noqa: B019 - a study lives as long as the process
    def features(self, sharpness: float) -> NDArray[np.float64]:
        """Public features of the items, the most telling columns first: float64 [items, up to 128]."""
        weights = {name: weight for name, weight in _MODALITIES.items() if name in self.content.values}
        settings = PriorSettings(weight=1.0, modalities=weights, sharpness=sharpness, rank=_COLUMNS)
        left, values, _ = np.linalg.svd(content_factors(self.content, settings), full_matrices=False)
        return np.asarray(left[:, :_COLUMNS] * values[:_COLUMNS])


def study_of(data: Path) -> RivalStudy:
    """Read, split and encode a data directory."""
    dataset = read_dataset(data)
    settings = ContentSettings(text=TextSettings(dimension=256))
    content, _ = build_features(
        Catalogue.from_dataset(dataset), settings, cache=cache_directory(), ready=dataset.features
    )
    ordered = bool((dataset.interactions.timestamp != UNKNOWN).any())
    return RivalStudy(data.name, split(dataset), len(dataset.items), content, ordered)


def with_last(histories: Histories, last: NDArray[np.int32]) -> Histories:
    """The histories with one more item at the end of those where it is not -1."""
    some = last >= 0
    items = np.insert(histories.items, histories.indptr[1:][some], last[some])
    return Histories(pointers_of(histories.lengths + some), items)


def in_blocks(
    users: int, score: Callable[[NDArray[np.int64]], NDArray[np.float32]]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Blocks of users with their scores."""
    for start in range(0, users, _BLOCK):
        block = np.arange(start, min(start + _BLOCK, users))
        yield block, score(block)


def measured(score: Callable[[NDArray[np.int64]], NDArray[np.float32]], held: Split, target: Target) -> Evaluation:
    """Both protocols, of scores [users, items] of some users; the other held-out item is no candidate."""
    return evaluate(in_blocks(len(held.training), score), held_out(held, target))


def held_out(held: Split, target: Target) -> HeldOut:
    """What is to be found."""
    found, other = (held.valid, held.test) if target == "valid" else (held.test, held.valid)
    return HeldOut(held.training, found, other, held.negatives)


def figures(found: Evaluation) -> dict[str, float | None]:
    """What is kept of a measurement: HR@10, NDCG@10 and their standard errors over users, of 99 and of all."""
    few, full = found.loo_99neg, found.loo_full
    return {
        "hr": few.hr,
        "ndcg": few.ndcg,
        "full_hr": full.hr,
        "full_ndcg": full.ndcg,
        "hr_error": few.hr_error,
        "ndcg_error": few.ndcg_error,
        "full_hr_error": full.hr_error,
        "full_ndcg_error": full.ndcg_error,
    }


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Means over seeds of `figures`, and ``seed_hr``: the standard deviation of HR@10 over seeds, None of one seed."""
    mean: dict[str, float | None] = {name: fmean(float(run[name]) for run in runs) for name in runs[0]}
    return mean | {"seed_hr": stdev(float(run["hr"]) for run in runs) if len(runs) > 1 else None}
