"""A user's notes and photos as features, by the encoders that the catalogue's texts and pictures went through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedrec.content.encoder import Encoder
from fedrec.training.population import Pieces


def encode_own(encoder: Encoder[Any], owned: Sequence[Sequence[Any]]) -> Pieces:
    """Encode what each user owns: texts for a text encoder, files or their bytes for an image encoder.

    A piece that cannot be read (an empty photo, a note without a known word) is left out; it spoils nothing else.
    """
    encoded = encoder.encode([piece for pieces in owned for piece in pieces])
    owners = np.repeat(np.arange(len(owned)), [len(pieces) for pieces in owned])[encoded.present]
    counts = np.bincount(owners, minlength=len(owned))
    return Pieces(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), encoded.values[encoded.present])
