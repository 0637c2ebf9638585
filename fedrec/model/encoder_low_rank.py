"""A head that is trained in a few directions only: a frozen start plus a low-rank update.

W = W0 + B A (Hu et al. 2021, "LoRA", section 4.1), of which only B is trained, and begins at zero. A and W0 are frozen
(as A is in Sun et al. 2024, "Improving LoRA in Privacy-preserving Federated Learning", section 4): what is trained
then no longer grows with the width of the features, so neither does the length of the noise; the noise of A is not
multiplied by that of B; and averaging B over devices averages W, which averaging A and B apart would not. A's rows are
orthonormal, so a step is the full head's step, projected.

Where the catalogue is at hand, A is the leading directions of its features, which are public (`warm_start`).

A trained bias moves all items alike.  What users have in common pulls at it more than at anything else, and an item
vector of length 1 that has moved far enough is everybody's, so that a few big steps end with all items in one place.
Without it (``model.head_bias`` false) the bias stays where the start put it, and the update reads features less their
mean over the catalogue, which says nothing of one item either.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from fedrec.model.encoder_head import Head
from fedrec.model.item_encoder import EncoderInputs, ItemEncoder
from fedrec.model.item_table import Looked
from fedrec.model.layers import blank, orthonormal, unit
from fedrec.model.subspace import Subspace


def head_over(width: int, inputs: EncoderInputs) -> Head | LowRankHead:
    """The head over vectors of this width that the settings ask for: of ``head_rank`` directions, or whole."""
    settings = inputs.settings
    if not settings.head_bias:
        rank = min(settings.head_rank, width)
        return LowRankHead(width, settings.dimension, rank, inputs.place, inputs.generator, trained_bias=False)
    if 0 < settings.head_rank < width:  # from there on, a low rank is none
        return LowRankHead(width, settings.dimension, settings.head_rank, inputs.place, inputs.generator)
    return Head(width, settings.dimension, inputs.place, inputs.generator)


class LowRankHead(ItemEncoder):
    """The function of `Head`, with ``rank * dimension + dimension`` trained numbers instead of ``width * dimension``;
    without ``trained_bias``, ``rank * dimension``.

    ``weight`` W0 [dimension, width] and ``down`` A [rank, width] are buffers: no part of the flat vector, but of the
    state, of every broadcast and of a release; so are ``bias`` [dimension] and ``middle`` [rank], A times the mean of
    the features, where the bias is not trained. ``rank`` is at most the width.
    """

    keeps_width = True
    looks_up = True
    remedy = (
        "Set model.image_encoder to cnn or vgg for pixels, model.audio_encoder to cnn for logmel, "
        "model.text_encoder to minilm-lora for minilm-states"
    )
    weight: Tensor
    down: Tensor
    bias: Tensor | None
    middle: Tensor | None

    @classmethod
    def build(cls, inputs: EncoderInputs) -> Head | LowRankHead:
        """Build what the settings ask for: `head_over` vectors."""
        return head_over(inputs.shape[0], inputs)

    def __init__(
        self,
        width: int,
        dimension: int,
        rank: int,
        subspace: Subspace,
        generator: torch.Generator,
        *,
        trained_bias: bool = True,
    ) -> None:
        super().__init__()
        self.subspace = subspace
        self.register_buffer("weight", Head(width, dimension, subspace, generator).linear.weight.detach().clone())
        self.register_buffer("down", orthonormal(rank, width, generator))
        self.register_buffer("bias", None if trained_bias else torch.zeros(dimension))
        self.register_buffer("middle", None if trained_bias else torch.zeros(rank))
        self.up = blank(nn.Linear, rank, dimension, bias=trained_bias)
        nn.init.zeros_(self.up.weight)
        if trained_bias:
            nn.init.zeros_(self.up.bias)

    @property
    def width(self) -> int:
        """Of the features."""
        return int(self.weight.shape[1])

    @property
    def rank(self) -> int:
        """Directions that are trained."""
        return int(self.down.shape[0])

    def start(self, weight: Tensor, bias: Tensor) -> None:
        """Begin with these, [dimension, width] and [dimension]; see `Head.start`."""
        with torch.no_grad():
            self.weight.copy_(weight)
            self.up.weight.zero_()
            (self.up.bias if self.bias is None else self.bias).copy_(bias)

    def look_along(self, directions: Tensor, mean: Tensor) -> None:
        """Train along these, [at most rank, width], orthonormal rows; what is left of the rank keeps its own, made
        orthogonal to them. ``mean``: of the features, [width]; a trained bias makes no use of it."""
        with torch.no_grad():
            both = torch.cat([directions.to(torch.float64), self.down.to(torch.float64)])
            q, r = torch.linalg.qr(both.T)
            signs = torch.where(torch.diagonal(r) < 0, -1.0, 1.0)
            turned = (q * signs).T[: self.rank]
            self.down.copy_(turned)
            if self.middle is not None:
                self.middle.copy_(turned @ mean.to(turned.dtype))

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """[rows, items, width] -> [rows, items, dimension]; features where ``real`` is False count as zeros."""
        known = unit(values.to(self.weight.dtype).masked_fill(~real.unsqueeze(-1), 0.0))
        update: Tensor = self.up(self._along(known))
        return linear(known, self.weight, self.bias) + update

    def read(self, values: Tensor) -> Tensor:
        """[items, width], scaled to length 1."""
        return unit(values)

    def encode(self, items: Looked) -> Tensor:
        """See `ItemEncoder.encode`."""
        update: Tensor = self.up(Looked(self._along(items.features), items.places, items.shared))
        return items.of_all(linear(items.features, self.weight, self.bias)) + update

    def _along(self, known: Tensor) -> Tensor:
        """Where features of length 1 lie in the directions that are trained, [..., rank]."""
        seen = linear(known, self.down)
        return seen if self.middle is None else seen - self.middle
