"""What a broadcast must be before a user's data is touched, so that no answer fails because of what it is about.

A device that fails on the items it knows tells which they are.  Everything here looks at public arrays alone and is
refused by every device alike.

The limits are generous.  A trained parameter is of the order of 1 (weights are drawn with variance 1 / inputs, and
steps are clipped), popular directions have length 1, item vectors have length 1, and estimates of popularity count
users.  A model within the limits stays far from float32's end at 3e38: three layers of 512 inputs, 1e4 each, take a
feature of 10 to below 1e21, and vectors are brought to length 1 before they meet a history.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ProtocolError

LARGEST_WEIGHT: Final = 1e4
LARGEST_NORM: Final = 1e6
# Estimates count users, so more of them than there are people are none.
LARGEST_POPULARITY: Final = 1e12
# Item vectors have length 1, up to rounding; sums over a million of them are below 1e7.
LONGEST_ITEM_VECTOR: Final = 10.0
_LOWER: Final = "Lower the learning rate or the noise"


def check_array(
    name: str, values: NDArray[Any], *, largest: float = LARGEST_WEIGHT, norm: float = LARGEST_NORM
) -> None:
    """Hold an array of a broadcast to finite values, at most ``largest`` each, of L2 norm ``norm`` at most together.

    Raises:
        ProtocolError: it is beyond that.
    """
    told = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(told).all():
        raise ProtocolError(f"a request's {name} are not all finite", value=values.shape, action=_LOWER)
    most = float(np.abs(told).max(initial=0.0))
    if most > largest:
        raise ProtocolError(f"a request's {name} are beyond {largest:g}", value=most, action=_LOWER)
    length = float(np.linalg.norm(told))
    if length > norm:
        raise ProtocolError(f"a request's {name} have a norm beyond {norm:g}", value=length, action=_LOWER)


def check_item_vectors(vectors: NDArray[np.floating[Any]]) -> None:
    """Hold the vectors of the whole catalogue, [items, width], to finite ones of `LONGEST_ITEM_VECTOR` at most.

    Raises:
        ProtocolError: an item of the catalogue has another one, whether anybody has the item or not.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (lengths <= LONGEST_ITEM_VECTOR).all():  # also catches what is not a number
        raise ProtocolError(
            "a request's model leads beyond all numbers for some item of the catalogue",
            value=int((~(lengths <= LONGEST_ITEM_VECTOR)).sum()),
            action=_LOWER,
        )
