"""Benchmark ``hot``: what runs most often, in units of a product of matrices that is timed in turn with it.

Seconds are of the processor, the least of some tries: a machine that is busy or slow has both sides slower.  What is
left is the ratio, which `compared` holds to one that was stored: a change of code that makes a function several times
as slow is seen, whatever the machine is.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from fedrec.collaborative.shared_grams import SharedGrams
from fedrec.config import FoldInSettings
from fedrec.data.tables import CSV, Table
from fedrec.data.tally import Tally
from fedrec.privacy.discrete import discrete_gaussian
from fedrec.ranking.fold_in import FoldIn
from fedrec.ranking.score import touched
from fedrec.ranking.topk import top_k
from fedrec.secagg.masks import add_masks
from fedrec.secagg.ring import Ring
from fedrec.simulation.bench import w1
from fedrec.training.clipping import ClippedGradients
from fedrec.users import Histories

TRIES: Final = 5
_SIZE: Final = 384  # of the reference's matrices


def run_hot() -> dict[str, float]:
    """For each hot function the processor time of one call, in units of one product of `_SIZE` square matrices."""
    one = np.random.default_rng(0).random((_SIZE, _SIZE), dtype=np.float32)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, call in _functions(Path(scratch)).items():
            call()
            own, reference = np.inf, np.inf
            for _ in range(TRIES):
                own = min(own, _processor_seconds(call))
                reference = min(reference, _processor_seconds(lambda: [one @ one for _ in range(8)]) / 8)
            found[name] = round(own / reference, 2)
    return found


def compared(now: Mapping[str, float], stored: Mapping[str, float], most: float) -> dict[str, float]:
    """How many times as long as stored each function takes that takes more than ``most`` times as long."""
    times = {name: now[name] / ratio for name, ratio in stored.items() if name in now}
    return {name: round(ratio, 2) for name, ratio in times.items() if ratio > most}


def _processor_seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def _functions(scratch: Path) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(1)
    gradients, rows = ClippedGradients(w1.W1Model(), w1.loss, 1.0, "bookkeeping"), w1.batch(64, 0)
    path = scratch / "table.csv"
    path.write_text("user,item,time\n" + "".join(f"u{at % 97},i{at % 311},{at}\n" for at in range(20_000)))
    content, mass = rng.normal(size=(4_000, 32)), rng.exponential(size=4_000) + 0.1
    factors = FoldIn(rng.normal(size=(2_000, 32)).astype(np.float32), FoldInSettings())
    lists = touched(Histories.of([rng.choice(2_000, 40, replace=False) for _ in range(200)]), 2_000)
    scores, ring = rng.random((200, 5_000), dtype=np.float32), Ring(32)
    keys = [(bytes([place + 1] * 32), 1) for place in range(8)]
    return {
        "clip 64 rows": lambda: gradients(rows),
        "read 20,000 rows": lambda: list(Table(path, CSV).chunks(Tally(path, []))),
        "one pass of Gram matrices": lambda: SharedGrams(content, mass, np.ones(4_000)),
        "place 200 users": lambda: factors.places(lists),
        "top 10 of 200 x 5,000": lambda: top_k(scores, 10),
        "discrete noise": lambda: discrete_gaussian(bytes(32), 100.0, 100_000),
        "8 masks": lambda: add_masks(np.zeros(200_000, dtype=np.uint32), keys, ring),
    }
