"""Batches of rows on the device that the model is on."""

from __future__ import annotations

import torch
from torch import nn

from fedrec.model.rows import Rows


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters are; they are all in one place."""
    return next(module.parameters()).device


def on_device(rows: Rows, device: torch.device) -> Rows:
    """The same rows with every tensor on ``device``; the rows themselves where they are there already."""
    if rows.candidate_mask.device == device:
        return rows
    return Rows.from_tensors({name: value.to(device) for name, value in rows.tensors().items()}, rows.positives)
