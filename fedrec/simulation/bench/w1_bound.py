"""What one pass over workload W1 takes at least: written by hand for exactly this perceptron, nothing generic.

Forward, backward, each user's gradient, its norm in float64, and the weighted sum in float64: what the guarantee of
`fedrec.training.clipping.ClippedGradients` asks for, and not an operation more.  Products are fused with biases, every
result lies in a buffer of its own that is used again, a batch is small enough for the cache, and each core has batches
of its own.  There is no tape, no hook, no shape that is not known.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from fedrec.training.row_gradients import MARGIN
from fedrec.training.side_by_side import side_by_side


class Bound:
    """The pass over batches of ``rows`` users with ``examples`` each, for a perceptron of these ``widths``.

    ``parameters``: weight [out, in] and bias [out] of each layer, in turn.
    """

    def __init__(self, parameters: Iterable[Tensor], widths: tuple[int, ...], rows: int, examples: int) -> None:
        values = [value.detach() for value in parameters]
        self.weights, self.biases = values[0::2], values[1::2]
        self.widths, self.rows, self.examples = widths, rows, examples
        self._local = threading.local()

    def over(self, batches: Iterable[tuple[Tensor, Tensor]], bound: float) -> Tensor:
        """The clipped sum over batches of features [rows, examples, width] and labels [rows, examples]; float64 [P]."""
        with torch.inference_mode():
            sums = side_by_side(lambda batch: self.one(*batch, bound), batches, torch.get_num_threads())
            return torch.stack(list(sums)).sum(0)

    @torch.inference_mode()
    def one(self, features: Tensor, labels: Tensor, bound: float) -> Tensor:
        """The clipped sum over one batch."""
        if not hasattr(self._local, "buffers"):
            self._local.buffers = _buffers(self.widths, self.rows, self.examples)
        hidden, slopes, samples, flat = self._local.buffers
        seen = [features.view(-1, self.widths[0]), *hidden]
        last = len(hidden) - 1
        for place, output in enumerate(hidden):
            torch.addmm(self.biases[place], seen[place], self.weights[place].T, out=output)
            if place < last:
                output.clamp_min_(0)
        torch.sigmoid(hidden[last], out=slopes[last]).sub_(labels.view(-1, 1)).mul_(1 / self.examples)
        for place in range(last, 0, -1):
            torch.mm(slopes[place], self.weights[place], out=slopes[place - 1])
            through = torch.ops.aten.threshold_backward.grad_input
            through(slopes[place - 1], seen[place], 0, grad_input=slopes[place - 1])
        start = 0
        for place, sample in enumerate(samples):
            slope = slopes[place].view(self.rows, self.examples, -1)
            torch.bmm(slope.mT, seen[place].view(self.rows, self.examples, -1), out=sample)
            for part in (sample.flatten(1), slope.sum(1)):
                flat[:, start : start + part.shape[1]] = part
                start += part.shape[1]
        norms = torch.linalg.vector_norm(flat, dim=1)
        total: Tensor = (bound / (norms * (1 + MARGIN)).clamp(min=bound)) @ flat
        return total


def _buffers(widths: tuple[int, ...], rows: int, examples: int) -> Any:
    """What layers give, the slopes of that, each layer's gradients, and all of them flat."""
    hidden = [torch.empty(rows * examples, width) for width in widths[1:]]
    slopes = [torch.empty_like(one) for one in hidden]
    samples = [torch.empty(rows, following, width) for width, following in pairwise(widths)]
    total = sum((width + 1) * following for width, following in pairwise(widths))
    return hidden, slopes, samples, torch.empty(rows, total, dtype=torch.float64)
