"""Which way to per-row gradients is fastest for which model: what `speed.grad_sample = "auto"` rests on.

Each mode clips the same rows of two models: the reference perceptron of W1, and a text tower from scratch whose word
embedding makes per-row gradients large.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from fedrec.config import ModelSettings
from fedrec.errors import ModelError
from fedrec.model import parameters
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch, Rows
from fedrec.simulation.bench import w1
from fedrec.training.clipping import ClippedGradients, Mode, RowLoss

_MODES: tuple[Mode, ...] = ("bookkeeping", "hooks", "ghost", "functional")
_VOCABULARY, _WORDS = 4096, 16


def run_modes(users: int, seconds: float) -> dict[str, Any]:
    """Rows a second of each mode on each model, about ``seconds`` in all; ``users`` rows in a batch, at most 64."""
    rows = min(users, 64)
    cases: dict[str, tuple[nn.Module, RowLoss, Rows]] = {
        "perceptron of W1": (w1.W1Model(), w1.loss, w1.batch(rows, 0)),
        "head over frozen features": (_heads(), _softmax, _frozen(rows)),
        "TextCNN with an embedding": (_text_cnn(), _softmax, _texts(max(1, rows // 8))),
    }
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    for name, (model, loss, batch) in cases.items():
        speeds = {mode: _speed(model, loss, batch, mode, seconds / 12) for mode in _MODES}
        fastest = max(speeds, key=lambda mode: speeds[mode] or 0.0)
        found[name] = {"parameters": parameters.count(model), "rows_per_second": speeds, "fastest": fastest}
    return found


def _speed(model: nn.Module, loss: RowLoss, rows: Rows, mode: Mode, seconds: float) -> float | None:
    """Rows a second; None where the mode cannot clip this model's rows."""
    gradients = ClippedGradients(model, loss, 1.0, mode)
    try:
        gradients(rows)
    except ModelError:
        gradients.close()
        return None
    began, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds or not done:
        gradients(rows)
        done += rows.rows
    gradients.close()
    return round(done / spent, 1)


def _softmax(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    return loss_per_row("sampled-softmax", logits, rows)


def _heads() -> Recommender:
    return Recommender(ModelSettings(), {"text": (64,), "image": (48,)}, seed=0, temperature=0.1)


def _text_cnn() -> Recommender:
    settings = ModelSettings(text_encoder="textcnn")
    return Recommender(settings, {"text": (_WORDS,)}, seed=0, temperature=0.1, vocabulary=_VOCABULARY)


def _frozen(rows: int) -> Rows:
    generator = torch.Generator().manual_seed(0)

    def items(count: int) -> ItemBatch:
        mask = torch.ones((rows, count), dtype=torch.bool)
        shapes = {"text": 64, "image": 48}
        values = {name: torch.randn((rows, count, width), generator=generator) for name, width in shapes.items()}
        return ItemBatch(values, dict.fromkeys(shapes, mask), mask)

    return Rows(items(64), None, None, items(136), 8, torch.ones((rows, 136), dtype=torch.bool))


def _texts(rows: int) -> Rows:
    generator = torch.Generator().manual_seed(0)

    def items(count: int) -> ItemBatch:
        mask = torch.ones((rows, count), dtype=torch.bool)
        tokens = torch.randint(1, _VOCABULARY, (rows, count, _WORDS), generator=generator)
        return ItemBatch({"text": tokens}, {"text": mask}, mask)

    return Rows(items(16), None, None, items(36), 4, torch.ones((rows, 36), dtype=torch.bool))
