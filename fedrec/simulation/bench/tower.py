"""The content tower of preset ``defaults`` on a synthetic population: rows a second, memory, and the price of clipping.

The catalogue and the population are drawn, in flat arrays, as large as asked; a row is a user with up to 64 events of
history, 8 positives and 128 negatives, as in a run.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fedrec.config import Config, from_tree
from fedrec.content.feature_table import Features
from fedrec.model import parameters
from fedrec.model.rows import Rows
from fedrec.randomness import key
from fedrec.simulation.bench.measuring import Machine, in_turn, seconds_of
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.examples import by_example
from fedrec.training.learner import Learner
from fedrec.training.side_by_side import side_by_side
from fedrec.users import Histories, UserBatch, pointers_of

ITEMS: Final = 4000
WIDTHS: Final = {"text": 64, "image": 48, "attributes": 29}
EVENTS: Final = 60  # of a user, in the mean
PART: Final = 8192  # users of one call, which bounds what is held of them beside the population itself


def run_tower(users: int, seconds: float) -> dict[str, Any]:
    """Clipped gradient sums of ``users`` users, for about ``seconds`` seconds or, if that is longer, one part.

    Returns:
        ``rows_per_second`` (of all rows that were passed), ``flops_per_row`` of the products of matrices that a step
        takes, ``matmul_flops_per_second`` of this machine, ``share_of_matmul`` of it that the rows come to, and
        ``peak_rss_mb``.
    """
    learner, people = _learner({}), population(users)
    values, pool = parameters.flatten(learner.model), _pool(learner.config)
    parts = [np.arange(start, min(start + PART, users)) for start in range(0, users, PART)]
    learner.update(people.take(parts[0][:256]), values, pool, 1)
    began, done = time.perf_counter(), 0
    for part in parts:
        done += learner.update(people.take(part), values, pool, 1).rows
        if (spent := time.perf_counter() - began) > seconds:
            break
    rate, flops, matmul = done / spent, _flops(learner, people), _matmul_rate()
    return {
        "rows_per_second": rate,
        "rows": done,
        "users": users,
        "flops_per_row": flops,
        "matmul_flops_per_second": matmul,
        "share_of_matmul": rate * flops / matmul,
        "parameters": len(values),
        "mode": learner.gradients.mode,
        "threads": torch.get_num_threads(),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        **Machine.here().facts(),
    }


def run_dp(users: int, seconds: float) -> dict[str, Any]:
    """A private step beside one of the same model on the same rows without clipping, by unit: a user, an interaction.

    Returns:
        ``times_as_long``: by unit, how many times as long the private step takes (the median of the rounds' ratios).
    """
    people = population(min(users, PART))
    contenders: dict[str, Callable[[], object]] = {}
    for unit in ("user", "example"):
        learner = _learner({"privacy": {"unit": unit}})
        rows = _rows(learner, people)
        contenders[f"{unit}, clipped"] = _clipped(learner, rows)
        contenders[f"{unit}, plain"] = _plain(learner, rows)
    found = in_turn(contenders, seconds)
    return {
        "times_as_long": {
            unit: found[f"{unit}, clipped"].ratio_to(found[f"{unit}, plain"]) for unit in ("user", "example")
        },
        "seconds": {name: timing.facts() for name, timing in found.items()},
        "users": len(people),
        "threads": torch.get_num_threads(),
        **Machine.here().facts(),
    }


def population(users: int, seed: int = 0) -> UserBatch:
    """So many users with 2 events or more, `EVENTS` in the mean, of items some of which are far more popular."""
    rng = np.random.default_rng(seed)
    lengths = 2 + rng.geometric(1 / (EVENTS - 1), size=users) - 1
    np.minimum(lengths, ITEMS // 4, out=lengths)
    indptr = pointers_of(lengths)
    # A stride through the catalogue from a start of one's own: no item twice, and the first ones are met most.
    starts = (ITEMS * rng.random(users) ** 2).astype(np.int32)
    within = np.arange(indptr[-1], dtype=np.int32) - np.repeat(indptr[:-1].astype(np.int32), lengths)
    items = (np.repeat(starts, lengths) + 3 * within) % ITEMS
    return UserBatch(Histories(indptr, items.astype(np.int32)), keys=rng.integers(0, 2**63, users).astype(np.uint64))


def _learner(settings: dict[str, Any]) -> Learner:
    rng = np.random.default_rng(1)
    values = {name: rng.normal(size=(ITEMS, width)).astype(np.float32) for name, width in WIDTHS.items()}
    present = {name: rng.random(ITEMS) < 0.9 for name in WIDTHS}
    ids = tuple(map(str, range(ITEMS)))
    return Learner(from_tree(settings), Features(ids, ids, values, present))


def _pool(config: Config) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.random.default_rng(2).choice(ITEMS, config.training.negatives, replace=False).astype(np.int32)


def _rows(learner: Learner, people: UserBatch) -> list[Rows]:
    """The rows of one step, ready."""
    config = learner.config
    shape = RowShape(config.training.positives, config.model.history)
    if config.privacy.unit == "example":
        people = by_example(people, config.training.examples, key(0, "groups"))
        shape = RowShape(1, config.model.history)
    batches = build_rows(
        people, learner.tables, _pool(config), shape, key=key(0, "rows"), batch_rows=learner.rows_at_once
    )
    return list(batches)


def _clipped(learner: Learner, rows: Sequence[Rows]) -> Callable[[], object]:
    return lambda: sum(total for total, _, _ in learner.gradients.sums(rows))


def _plain(learner: Learner, rows: Sequence[Rows]) -> Callable[[], object]:
    """The gradient of all rows' losses, as training without privacy takes it, on as many cores."""
    values = list(learner.model.parameters())

    def one(batch: Rows) -> Any:
        losses = learner.gradients.loss(learner.gradients.model(batch), batch)
        return torch.cat([part.flatten() for part in torch.autograd.grad(losses.sum(), values)])

    return lambda: sum(side_by_side(one, rows, torch.get_num_threads()))


def _flops(learner: Learner, people: UserBatch) -> float:
    """Multiplications and additions of the products of matrices in one batch, by row."""
    rows = _rows(learner, people.take(np.arange(min(len(people), learner.rows_at_once))))[0]
    with FlopCounterMode(display=False) as counter:
        learner.gradients(rows)
    return float(counter.get_total_flops()) / rows.rows


def _matmul_rate(size: int = 1024) -> float:
    """Operations a second of one large product of matrices in float32, on all threads."""
    one = torch.rand(size, size)
    return 2 * size**3 / min(seconds_of(lambda: one @ one) for _ in range(20))
