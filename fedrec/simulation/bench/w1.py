"""Reference workload W1: an MLP of 148-64-32-1, 64 labelled rows a user, one local step, one clip a user.

What a federated study does most: every user's gradient over the user's own 64 examples, clipped to a bound, summed.
It uses the same `ClippedGradients` as training does, on a model that has nothing of a recommender; beside it, in the
same run, what one pass takes at least (`w1_bound`), pfl-research (`w1_pfl`) and Flower's Ray simulation (`w1_flower`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedrec.model import parameters
from fedrec.model.rows import ItemBatch, Rows
from fedrec.simulation.bench.measuring import Machine, Timing, in_turn
from fedrec.training.clipping import ClippedGradients, Mode

WIDTHS = (148, 64, 32, 1)
EXAMPLES = 64
BATCH = 256  # as training takes them; per-row gradients of so many users stay in the processor's last cache
BOUND_BATCH = 64  # what the pass by hand is fastest with
KEPT = 2  # different batches in memory, passed over again and again
W1Rival = Literal["bound", "pfl", "flower"]


def layers() -> nn.Sequential:
    """The perceptron: features [..., 148] -> logits [..., 1]; the same initial values at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found: list[nn.Module] = []
        for width, following in pairwise(WIDTHS):
            found += [nn.Linear(width, following), nn.ReLU()]
        return nn.Sequential(*found[:-1])


class W1Model(nn.Module):
    """The workload's perceptron over rows: features [rows, examples, 148] -> logits [rows, examples]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers()

    def forward(self, rows: Rows) -> Tensor:
        """Logits of each example."""
        logits: Tensor = self.layers(rows.candidates.values["features"]).squeeze(-1)
        return logits


def run_w1(users: int, seconds: float, mode: Mode = "bookkeeping", against: Sequence[W1Rival] = ()) -> dict[str, Any]:
    """Measure passes over ``users`` users, rivals in turn with ours, for about ``seconds`` seconds in all.

    Returns:
        ``users_per_second`` of each (the median of the passes), ``times_as_fast``: how many times as fast as each rival
        ours is (the median of the rounds' ratios; below 1 for what is faster), and how it was measured.

    Raises:
        ConfigError: a rival is not installed.
    """
    batches = [batch(min(BATCH, users), start) for start in range(KEPT)]
    passed = [batches[number % KEPT] for number in range(max(1, users // BATCH))]
    counts = {"fedrec": sum(rows.rows for rows in passed)}
    gradients = ClippedGradients(W1Model(), loss, bound=1.0, mode=mode)
    contenders: dict[str, Callable[[], object]] = {"fedrec": lambda: list(gradients.sums(passed))}
    if "bound" in against:
        contenders["bound"], counts["bound"] = _bound(passed), counts["fedrec"]
    if "pfl" in against:
        from fedrec.simulation.bench import w1_pfl

        contenders["pfl"], counts["pfl"] = w1_pfl.pfl_pass(layers, user), w1_pfl.USERS
    found = in_turn(contenders, seconds)
    apart: dict[str, Timing] = {}
    if "flower" in against:
        from fedrec.simulation.bench import w1_flower

        # It starts processes of its own, and so has its turn alone.
        apart["flower"], counts["flower"] = w1_flower.flower_rounds(layers, user), w1_flower.USERS
    rates = {name: counts[name] / timing.median for name, timing in {**found, **apart}.items()}
    faster = {name: _faster(found[name], found["fedrec"], counts, name) for name in found if name != "fedrec"}
    faster |= {name: rates["fedrec"] / rates[name] for name in apart}
    return {
        "users_per_second": rates,
        "times_as_fast": faster,
        "seconds": {name: timing.facts() for name, timing in {**found, **apart}.items()},
        "users": counts,
        "parameters": parameters.count(gradients.model),
        "examples_per_user": EXAMPLES,
        "mode": mode,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **Machine.here().facts(),
    }


def _faster(rival: Timing, ours: Timing, counts: dict[str, int], name: str) -> float:
    return rival.ratio_to(ours) * counts["fedrec"] / counts[name]


def _bound(passed: Sequence[Rows]) -> Callable[[], object]:
    from fedrec.simulation.bench.w1_bound import Bound

    size = math.gcd(passed[0].rows, BOUND_BATCH)
    bound = Bound(layers().parameters(), WIDTHS, size, EXAMPLES)
    parts = [
        zip(torch.split(rows.candidates.values["features"], size), torch.split(labels_of(rows), size), strict=True)
        for rows in passed
    ]
    given = [part for one in parts for part in one]
    return lambda: bound.over(given, 1.0)


def loss(logits: Tensor, rows: Rows) -> Tensor:
    """Mean cross-entropy of each row's examples, [rows]."""
    return binary_cross_entropy_with_logits(logits, labels_of(rows), reduction="none").mean(1)


def labels_of(rows: Rows) -> Tensor:
    """The labels [rows, examples], 0 or 1."""
    if rows.targets is None:
        raise AssertionError("the workload's rows have labels")
    return rows.targets


def user(place: int) -> tuple[Tensor, Tensor]:
    """Features [examples, 148] and labels [examples] of one user."""
    rows = batch(1, place)
    return rows.candidates.values["features"][0], labels_of(rows)[0]


def batch(rows: int, seed: int) -> Rows:
    """So many users with 64 labelled examples each, drawn from the seed."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones((rows, EXAMPLES), dtype=torch.bool)
    features = torch.randn((rows, EXAMPLES, WIDTHS[0]), generator=generator)
    labels = (torch.rand((rows, EXAMPLES), generator=generator) < 0.3).float()
    examples = ItemBatch({"features": features}, {"features": mask}, mask)
    return Rows(examples, None, None, examples, EXAMPLES, mask, labels)
