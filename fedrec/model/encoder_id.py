"""The item encoder over nothing but which item it is: a trained vector each, as in matrix factorisation.

Items times ``dimension`` parameters, most of which a row does not touch: under privacy each of them gets noise all the
same, and items that were not there in training have no vector, so they count as without this modality.  And the rows of
the table that an update moves are the items that its device saw, so one update alone tells a history: only secure
aggregation and noise keep that from the server.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedrec.model.layers import blank

# Beside heads of about length 1 a vector not yet trained should hardly count; at zero, vectors of ids alone would
# have no slope to leave it by.
_LENGTH = 0.1


class ItemIds(nn.Module):
    """A table [items, dimension], looked up by an item's place in the public catalogue.

    Each row of the batch looks up its own items in one call, so Opacus' hooks give the exact gradient a row; they hold
    rows times the whole table for it, which ``speed.batch_rows`` keeps in bounds.
    """

    flattens_rows = False
    reads_tokens = True

    def __init__(self, items: int, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        self.items = items
        self.table = blank(nn.Embedding, items, dimension)
        nn.init.normal_(self.table.weight, std=_LENGTH * dimension**-0.5, generator=generator)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """int [rows, items, 1], the items' places, -> [rows, items, dimension]; zeros where there is no such place."""
        places = values.squeeze(-1).long()
        known = real & (places >= 0) & (places < self.items)
        vectors: Tensor = self.table(torch.where(known, places, 0)) * known.unsqueeze(-1)
        return vectors
