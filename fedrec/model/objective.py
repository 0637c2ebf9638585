"""What a row is trained on: the recommendation's loss, and with chosen weights an auxiliary task and an alignment.

All of it is separable by row, so that clipping a row's gradient bounds all that the row says.  The further losses look
at a row's own items, its history and positives, and are 0 where the recommendation's loss has nothing to learn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedrec.config import TrainingSettings
from fedrec.model.layers import unit
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import ForwardOutput, Recommender
from fedrec.model.rows import Rows

_FAR = -1e9
TARGET = "attributes"


class Objective(nn.Module):
    """The loss of each row as a module around the model, whose parameters are its only ones, in the same order.

    ``training.auxiliary`` weighs the prediction of an item's attributes from its fused vector (multi-task learning,
    Caruana 1997); ``training.alignment`` the contrast of modalities (Radford et al. 2021, section 2.3).
    """

    def __init__(self, model: Recommender, settings: TrainingSettings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings

    def forward(self, rows: Rows) -> Tensor:
        """The weighted sum of the losses of each row, [rows].

        Raises:
            ModelError: rows that do not fit the model or each other.
        """
        if not self.settings.auxiliary and not self.settings.alignment:
            return loss_per_row(self.settings.loss, self.model(rows), rows)
        seen = self.model.see(rows)
        loss = loss_per_row(self.settings.loss, seen.logits, rows)
        if self.settings.auxiliary and self.model.auxiliary is not None:
            loss = loss + self.settings.auxiliary * attribute_loss(self.model.auxiliary(seen.own), rows)
        if self.settings.alignment and len(self.model.modalities) > 1:
            loss = loss + self.settings.alignment * alignment_loss(seen, rows, self.model.temperature)
        return loss


def attribute_loss(predicted: Tensor, rows: Rows) -> Tensor:
    """Squared error [rows] of the attributes predicted, [rows, own items, width]: the mean over items that have some.

    Rows of attributes have a root mean square norm of about 1 over the catalogue, so that guessing zeros costs 1.
    """
    values = _own(rows.history.values[TARGET], rows.candidates.values[TARGET], rows)
    present = _own(rows.history.present[TARGET], rows.candidates.present[TARGET], rows)
    weights = (present & _real(rows)).to(predicted.dtype)
    wanted = values.to(predicted.dtype).masked_fill(weights.unsqueeze(-1) == 0, 0.0)
    errors = (predicted - wanted).square().sum(-1)
    return (errors * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def alignment_loss(seen: ForwardOutput, rows: Rows, temperature: float) -> Tensor:
    """Cross-entropy [rows] of telling, by the vector of one modality, which of the row's items another's belongs to.

    The mean over ordered pairs of modalities and over the items that have both.  Other items of the same row are the
    only ones to tell apart, since another row's are another person's.  A row with one such item has loss 0.
    """
    vectors, there = unit(seen.modal), seen.present & _real(rows).unsqueeze(-1)
    kinds = vectors.shape[2]
    total, pairs = vectors.new_zeros(vectors.shape[0]), kinds * (kinds - 1)
    for one in range(kinds):
        for other in range(kinds):
            if one == other:
                continue
            both = there[:, :, one] & there[:, :, other]
            logits = torch.einsum("rnd,rmd->rnm", vectors[:, :, one], vectors[:, :, other]) / temperature
            logits = logits.masked_fill(~both.unsqueeze(1), _FAR)
            right = torch.log_softmax(logits, -1).diagonal(dim1=1, dim2=2).masked_fill(~both, 0.0)
            total = total - right.sum(1) / both.sum(1).clamp(min=1).to(total.dtype)
    return total / pairs


def _real(rows: Rows) -> Tensor:
    """Which of the own items are there, bool [rows, own]; none in a row without a positive."""
    positive = rows.candidate_mask[:, : rows.positives]
    return torch.cat([rows.history.mask, positive], 1) & positive.any(1, keepdim=True)


def _own(history: Tensor, candidates: Tensor, rows: Rows) -> Tensor:
    return torch.cat([history, candidates[:, : rows.positives]], 1)
