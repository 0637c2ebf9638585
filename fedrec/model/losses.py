"""Losses of a row: each depends on that row alone, is finite, and is zero where the row gives nothing to learn.

``l`` are logits, ``P`` a row's real positives, ``N`` its real negatives (``candidate_mask`` True):

- ``sampled-softmax``: mean over p in P of log(1 + sum over N of exp(l_n - l_p)), that is the softmax of each positive
  against the row's negatives (Covington et al. 2016, section 3).  Where the rows say how likely each candidate was to
  be drawn, the logarithm of that is taken off its logit, so that the sum over N stands for the sum over all items.
- ``bpr``: mean over P x N of log(1 + exp(l_n - l_p)) (Rendle et al. 2009, section 4).
- ``bce``: cross-entropy of sigmoid(l) with the target, the mean over P plus the mean over N.
- ``mse``: squared error of sigmoid(l) against the target, the mean over P plus the mean over N.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from fedrec.config import Loss
from fedrec.errors import ModelError
from fedrec.model.rows import Rows

_FAR = -1e9


def loss_per_row(kind: Loss, logits: Tensor, rows: Rows) -> Tensor:
    """The loss of each row [rows] from its logits [rows, candidates].

    A row without a real positive, and for the losses that compare (``sampled-softmax``, ``bpr``) one without a real
    negative, has loss exactly 0 and zero gradient.

    Raises:
        ModelError: an unknown kind, or logits of another shape than the rows' candidates.
    """
    if logits.shape != rows.candidate_mask.shape or not 0 <= rows.positives <= logits.shape[1]:
        raise ModelError(
            "logits do not fit the rows",
            value=(tuple(logits.shape), rows.positives),
            action=f"Give logits of shape {tuple(rows.candidate_mask.shape)}",
        )
    if kind == "sampled-softmax":
        return _sampled_softmax(logits, rows)
    if kind == "bpr":
        return _bpr(logits, rows)
    if kind in ("bce", "mse"):
        return _pointwise(kind, logits, rows)
    raise ModelError("unknown loss", value=kind, action="Use sampled-softmax, bpr, bce or mse")


def wants_offset(kind: Loss) -> bool:
    """Whether a loss judges logits one by one, so that the model needs a learned offset for "half likely"."""
    return kind in ("bce", "mse")


def _sampled_softmax(logits: Tensor, rows: Rows) -> Tensor:
    positive, negative, p_mask, n_mask = _halves(
        logits if rows.log_inclusion is None else logits - rows.log_inclusion, rows
    )
    if not negative.shape[1]:
        return logits.sum(1) * 0.0
    # Without a real negative the rest is so small that softplus and its gradient are exactly 0.
    rest = torch.logsumexp(negative.masked_fill(~n_mask, _FAR), 1, keepdim=True)
    return _mean(softplus(rest - positive), p_mask)


def _bpr(logits: Tensor, rows: Rows) -> Tensor:
    positive, negative, p_mask, n_mask = _halves(logits, rows)
    pairs = softplus(negative.unsqueeze(1) - positive.unsqueeze(2))
    return _mean(pairs.flatten(1), (p_mask.unsqueeze(2) & n_mask.unsqueeze(1)).flatten(1))


def _pointwise(kind: Loss, logits: Tensor, rows: Rows) -> Tensor:
    if rows.targets is None:
        place = torch.arange(logits.shape[1], device=logits.device)
        targets = (place < rows.positives).to(logits.dtype).expand_as(logits)
        known = rows.candidate_mask
    else:
        known = rows.candidate_mask & torch.isfinite(rows.targets)
        targets = torch.where(known, rows.targets.to(logits.dtype), 0.0)
    if kind == "mse":
        errors = (torch.sigmoid(logits) - targets).square()
    else:
        errors = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    cut = rows.positives
    positives, negatives = _mean(errors[:, :cut], known[:, :cut]), _mean(errors[:, cut:], known[:, cut:])
    return (positives + negatives) * known[:, :cut].any(1).to(logits.dtype)


def _halves(logits: Tensor, rows: Rows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    cut = rows.positives
    return logits[:, :cut], logits[:, cut:], rows.candidate_mask[:, :cut], rows.candidate_mask[:, cut:]


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    weights = mask.to(values.dtype)
    return (values * weights).sum(1) / weights.sum(1).clamp(min=1.0)
