"""Benchmark ``solve``: what the server makes of its sums, a release, and a device's ranking, by size of the catalogue.

A made-up catalogue of items in clusters, with content vectors, popularity that falls off as 1 / place, and a noisy sum
of projected histories of the size that the sizing of preset ``auto`` leads to.  Each step is timed once, or twice where
it is short: they take from seconds to minutes.  What reading is held against is joining the factors and one pass over
them for their Gram matrix, which any solution by factors needs: items times the square of their columns.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative import low_rank
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.content_kernel import content_factors
from fedrec.collaborative.power_iteration import Expected, completed, first
from fedrec.collaborative.reading import PaidFactors, read
from fedrec.collaborative.tall import gram
from fedrec.config import CollaborativeSettings, ModelSettings
from fedrec.content.feature_table import Features
from fedrec.ranking.score import Scorer
from fedrec.ranking.topk import top_k
from fedrec.release.bundle import read_release, write_release
from fedrec.release.contents import ReleaseContents
from fedrec.release.keys import SigningKey
from fedrec.simulation.bench.measuring import Machine
from fedrec.users import Histories

Made = TypeVar("Made")
_CLUSTERS: Final = 200
_EVENTS: Final = 30
_USERS: Final = 100_000
# Seconds of a step below which it is repeated, since the first run of anything is slow.
_SHORT: Final = 1.0


@dataclass(frozen=True)
class SolveSizes:
    """``items``; ``width`` of their content; directions ``rank`` of the sum; columns ``prior`` of a sharpened kernel
    (0 = the linear one); columns ``table`` and ``fold_in`` of what is released; ``users`` that are ranked for."""

    items: int
    width: int = 64
    rank: int = 32
    prior: int = 128
    table: int = 64
    fold_in: int = 64
    users: int = 8


def run_solve(sizes: SolveSizes) -> dict[str, Any]:
    """Seconds and peak memory of each step, and the ratio of reading the sums to one pass over their factors."""
    features, settings, steps = catalogue(sizes.items, sizes.width), _settings(sizes), _Steps()
    factors, columns, bound = _read(steps, _summed(steps, features, settings, sizes.rank), settings, features)
    _released(steps, features, factors)
    _ranked(steps, features, factors, settings, sizes.users)
    return {
        **asdict(sizes),
        "columns": columns,
        "seconds": steps.seconds,
        "processor_seconds": steps.processor,
        "bound_seconds": bound,
        "read_to_bound": steps.seconds["read"] / bound,
        "peak_mb": steps.peak_mb,
        "machine": Machine.here().facts(),
    }


def _read(
    steps: _Steps, sums: PaidFactors, settings: CollaborativeSettings, features: Features
) -> tuple[CollaborativeFactors, int, float]:
    """The factors; and of the bound, how many columns, and its seconds."""
    columns = len(steps.timed("bound", lambda: gram(sums.joined(settings))))
    return steps.timed("read", lambda: read(sums, settings, features)), columns, steps.seconds.pop("bound")


def _summed(steps: _Steps, features: Features, settings: CollaborativeSettings, rank: int) -> PaidFactors:
    """One step of power iteration, its sum being noise: what is done with it does not depend on what it says."""
    rng, items = np.random.default_rng(2), len(features.ids)
    popularity = np.asarray(1e5 / (1.0 + rng.permutation(items)), dtype=np.float64)
    mass = low_rank.mass_of(popularity, _USERS)
    content = steps.timed("kernel", lambda: content_factors(features, settings.prior))
    expected = steps.timed("expected", lambda: Expected.of(mass, popularity, content))
    begun = steps.timed("directions", lambda: first(expected, rank, 0.3))
    noisy = rng.standard_normal(begun.vectors.size)
    found = steps.timed("denoise", lambda: completed(noisy, begun, expected, 1.0, "content"))
    return PaidFactors(popularity, begun.centre, mass, found.factors, content)


def catalogue(items: int, width: int) -> Features:
    """So many items in clusters, with one modality of unit vectors and a hundredth of them without it."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((_CLUSTERS, width)).astype(np.float32)
    values = centres[rng.integers(0, _CLUSTERS, items)]
    values += rng.standard_normal((items, width), dtype=np.float32)
    ids = tuple(map(str, range(items)))
    return Features(ids, ids, {"text": values}, {"text": rng.random(items) > 0.01})


class _Steps:
    """Seconds by step, by the clock and of the processor, and the process' peak memory after each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self.peak_mb: dict[str, float] = {}

    def timed(self, name: str, make: Callable[[], Made]) -> Made:
        for _ in range(2):
            started, busy = time.perf_counter(), time.process_time()
            made = make()
            self.seconds[name], self.processor[name] = time.perf_counter() - started, time.process_time() - busy
            if self.seconds[name] > _SHORT:
                break
        self.peak_mb[name] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
        return made


def _settings(sizes: SolveSizes) -> CollaborativeSettings:
    return CollaborativeSettings.model_validate(
        {
            "cooccurrence": {"enabled": False},
            "power_iteration": {"enabled": True, "rank": sizes.rank},
            "prior": {
                "weight": 0.6,
                "modalities": {"text": 1.0},
                "sharpness": 1.5 if sizes.prior else 0.0,
                "rank": max(sizes.prior, 1),
            },
            "solver": {"ridge": 20.0, "rank": sizes.table},
            "scoring": {"weight": 1.0, "discount": 0.2},
            "fold_in": {"rank": sizes.fold_in} if sizes.fold_in else None,
        }
    )


def _released(steps: _Steps, features: Features, factors: CollaborativeFactors) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "release"
        contents = ReleaseContents("bench", features, None, factors)
        key = SigningKey.fresh()
        steps.timed("write release", lambda: write_release(place, contents, key=key, replace=True))
        steps.timed("read release", lambda: read_release(place))


def _ranked(
    steps: _Steps, features: Features, factors: CollaborativeFactors, settings: CollaborativeSettings, users: int
) -> None:
    scorer = Scorer(
        model=None, features=features, collaborative=factors, settings=settings, model_settings=ModelSettings()
    )
    rng = np.random.default_rng(3)
    histories = [rng.integers(0, len(features.ids), _EVENTS) for _ in range(users)]

    def rank() -> list[NDArray[np.int32]]:
        known = scorer.parts(Histories.of(histories)).total
        return [top_k(known, 10)]

    steps.timed("rank", rank)
    for seconds in (steps.seconds, steps.processor):
        seconds["rank a user"] = seconds.pop("rank") / users
