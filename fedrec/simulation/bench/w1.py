"""Reference workload W1: an MLP of 148-64-32-1, 64 labelled rows a user, one local step, one clip a user.

What a federated study does most: every user's gradient over the user's own 64 examples, clipped to a bound, summed.
It uses the same `ClippedGradients` as training does, on a model that has nothing of a recommender.
"""

from __future__ import annotations

import os
import platform
import time
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedrec.model import parameters
from fedrec.model.rows import ItemBatch, Rows
from fedrec.training.clipping import ClippedGradients, Mode

WIDTHS = (148, 64, 32, 1)
EXAMPLES = 64
BATCH = 64  # per-row gradients of so many users stay in the processor's cache


class W1Model(nn.Module):
    """The workload's perceptron: features [rows, examples, 148] -> logits [rows, examples]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, following in pairwise(WIDTHS):
            layers += [nn.Linear(width, following), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, rows: Rows) -> Tensor:
        """Logits of each example."""
        logits: Tensor = self.layers(rows.candidates.values["features"]).squeeze(-1)
        return logits


def run_w1(users: int, seconds: float, mode: Mode = "hooks") -> dict[str, Any]:
    """Measure passes over ``users`` users for about ``seconds`` seconds, after one pass to warm up.

    Returns:
        ``users_per_second`` (the median of the passes) and how it was measured.
    """
    model = W1Model()
    gradients = ClippedGradients(model, loss, bound=1.0, mode=mode)
    batches = [batch(min(BATCH, users - start), start) for start in range(0, min(users, 4 * BATCH), BATCH)]
    per_pass = -(-users // BATCH)
    speeds: list[float] = []
    gradients(batches[0])
    began = time.perf_counter()
    while not speeds or time.perf_counter() - began < seconds:
        started, done = time.perf_counter(), 0
        for number in range(per_pass):
            users_rows = batches[number % len(batches)]
            gradients(users_rows)
            done += users_rows.rows
        speeds.append(done / (time.perf_counter() - started))
    speeds.sort()
    return {
        "users_per_second": speeds[len(speeds) // 2],
        "slowest": speeds[0],
        "fastest": speeds[-1],
        "passes": len(speeds),
        "users": users,
        "parameters": parameters.count(model),
        "examples_per_user": EXAMPLES,
        "mode": mode,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "torch": torch.__version__,
    }


def loss(logits: Tensor, rows: Rows) -> Tensor:
    """Mean cross-entropy of each row's examples, [rows]."""
    if rows.targets is None:
        raise AssertionError("the workload's rows have labels")
    return binary_cross_entropy_with_logits(logits, rows.targets, reduction="none").mean(1)


def batch(rows: int, seed: int) -> Rows:
    """So many users with 64 labelled examples each, drawn from the seed."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones((rows, EXAMPLES), dtype=torch.bool)
    features = torch.randn((rows, EXAMPLES, WIDTHS[0]), generator=generator)
    labels = (torch.rand((rows, EXAMPLES), generator=generator) < 0.3).float()
    examples = ItemBatch({"features": features}, {"features": mask}, mask)
    return Rows(examples, None, None, examples, EXAMPLES, mask, labels)
