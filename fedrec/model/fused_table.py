"""Item vectors of a whole table at once, where they are one linear head a modality, fused with weights of their own.

Such a vector depends on its item and on the parameters alone, so that all rows share it: it is made once an item, and
handed out.  What a row's gradient then asks of an item is in closed form.  With x_k the features of modality k, w_k its
weight, f = sum_k w_k (W_k x_k + b_k), s = 1 / sqrt(|f|^2 + e) and the vector u = s f, a slope g at u becomes

    s (g - u <u, g>) = s p  at f,  so  dW_k = sum_items p (s w_k x_k)^T  and  db_k = sum_items p s w_k,

and for the logits whose softmax the weights are, where <p, f> = <u, g> (1 - |u|^2) / s is what is left of f,

    dl_k = <W_k, dW_k> + <b_k, db_k> - sum_items <u, g> w_k (1 - |u|^2).

So the table is held as s w_k x_k beside s w_k, and a row's gradient is one product of its slopes with its items' share
of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedrec.model.fusion_weights import evenly, shared_out
from fedrec.model.item_table import Looked
from fedrec.model.layers import EPSILON, unit


@dataclass(frozen=True, eq=False)
class Heads:
    """One dense layer a modality, each with a bias, over items that were looked up at the same places.

    ``present``: bool [n, k], which modalities each item has.  ``logits``: the layer whose weight [k, 1] is the logits
    of the modalities' weights; None = all those present weigh the same.
    """

    layers: Sequence[nn.Linear]
    items: Sequence[Looked]
    present: Tensor
    logits: nn.Linear | None

    @cached_property
    def weights(self) -> Tensor:
        """[n, k], summing to 1 over what is present."""
        if self.logits is None:
            return evenly(self.present, self.layers[0].weight.dtype)
        return shared_out(self.logits.weight.T, self.present)

    @cached_property
    def fused(self) -> Tensor:
        """f of each item, [n, d]."""
        given = [
            functional.linear(items.features, layer.weight, layer.bias) * self.weights[:, place, None]
            for place, (layer, items) in enumerate(zip(self.layers, self.items, strict=True))
        ]
        return torch.stack(given).sum(0)


class FusedTable(nn.Module):
    """Hands out the vectors [rows, items, d] of `Heads`, of length 1. It has no parameter of its own."""

    def forward(self, heads: Heads) -> Tensor:
        return heads.items[0].of_all(unit(heads.fused))

    @staticmethod
    @torch.no_grad()
    def rows_of(heads: Heads, vectors: Tensor, slopes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each parameter with its gradients of all rows, [rows, ...], from ``slopes`` at ``vectors`` [rows, items, d],
        which `forward` gave."""
        weights = heads.weights.detach()
        squares = heads.fused.detach().square().sum(-1, keepdim=True)
        scale = torch.rsqrt(squares + EPSILON)
        read = [one for k, items in enumerate(heads.items) for one in _columns(items.features, weights[:, k, None])]
        table = Looked(torch.cat(read, 1) * scale, heads.items[0].places, heads.items[0].shared)
        along = (vectors * slopes).sum(-1, keepdim=True)
        found = sums_of_products(torch.addcmul(slopes, vectors, along, value=-1.0), table)
        parts, start, logits = list[tuple[Tensor, Tensor]](), 0, []
        for layer in heads.layers:
            stop = start + layer.in_features
            matrix, bias = found[:, :, start:stop], found[:, :, stop]
            parts += [(layer.weight, matrix), (layer.bias, bias)]
            logits.append((matrix * layer.weight).sum((1, 2)) + bias @ layer.bias)
            start = stop + 1
        if heads.logits is not None:
            left = Looked(weights * (1.0 - squares * scale.square()), table.places, table.shared)
            rest = sums_of_products(along, left).squeeze(1)
            parts.append((heads.logits.weight, (torch.stack(logits, 1) - rest).unsqueeze(-1)))
        return parts


def sums_of_products(slopes: Tensor, items: Looked) -> Tensor:
    """sum_items g x^T of each row, [rows, outputs, inputs], from slopes g [rows, items, outputs].

    The items that all rows share are one matrix for all of them, so that nothing of them is gathered.
    """
    own = slopes.shape[1] - items.shared
    # Looked up as an embedding: indexing with a table of places takes ten times as long.
    found = slopes[:, :own].mT @ functional.embedding(items.places[:, :own], items.features)
    if not items.shared:
        return found
    shared = functional.embedding(items.places[0, own:], items.features)
    return found.baddbmm_(slopes[:, own:].mT, shared.expand(len(slopes), -1, -1))


def _columns(features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return features * weight, weight
