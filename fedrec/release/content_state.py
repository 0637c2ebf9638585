"""Between a release and what a device encodes content with: its notes, its photos, and items that are new."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from fedrec.content.registry import AnyEncoder, encoder_from_bytes
from fedrec.errors import ContentError, ReleaseError
from fedrec.release.contents import ReleaseContents

if TYPE_CHECKING:
    from fedrec.content.features import Features

# Of one note or photo, encoded: several times a picture of the largest side that settings allow.
LARGEST_PIECE: Final = 4 << 20


def encoders(contents: ReleaseContents) -> dict[str, AnyEncoder]:
    """The fitted encoders of a release by modality.

    Raises:
        ReleaseError: an encoder is damaged, of another modality, or needs another version of fedrec.
    """
    found = {}
    for modality, data in contents.encoders.items():
        try:
            found[modality] = encoder_from_bytes(data)
        except ContentError as error:
            raise ReleaseError(f"the released encoder of {modality} cannot be used: {error.what}") from error
        if found[modality].modality != modality:
            raise ReleaseError(f"the released encoder of {modality} is one of {found[modality].modality}")
        _check_size(found[modality], modality)
    return found


def features(contents: ReleaseContents) -> Features:
    """The catalogue's features, as training and personalisation want them."""
    from fedrec.content.features import Features  # with what builds them, which ranking does without

    items = contents.items
    return Features(
        ids=items.ids,
        titles=items.titles,
        values=dict(items.values),
        present={name: np.asarray(present, dtype=np.bool_) for name, present in items.present.items()},
    )


def _check_size(encoder: AnyEncoder, modality: str) -> None:
    """An encoder's state can name any shape, for which memory is taken at the first note or photo."""
    size = math.prod(encoder.shape) * encoder.dtype.itemsize
    if size > LARGEST_PIECE:
        raise ReleaseError(
            f"the released encoder of {modality} makes more than {LARGEST_PIECE:,} bytes of one piece of content",
            value=encoder.shape,
            action="Do not use it",
        )
