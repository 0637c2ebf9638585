"""Gradient inversion of what a user wrote and photographed: features of a note and a photo out of one plain update.

Zhu et al. 2019, "Deep Leakage from Gradients": the dummy input is the supposed user of `membership_updates`, with one
note and one photo whose features are unknown as well.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.audit.attacks.membership_updates import SupposedUser, infer


def invert_content(
    supposed: SupposedUser,
    observed: NDArray[np.floating],
    typical: Mapping[str, NDArray[np.floating]],
    *,
    steps: int = 300,
    rate: float = 0.03,
) -> dict[str, NDArray[np.float64]]:
    """The features of the user's own content that explain the update ``observed`` [P] best.

    Args:
        supposed: with the modalities to invert in ``own``.
        observed: what the adversary saw.
        typical: modality to the feature [width] that the search begins at; the catalogue's mean, say.

    Returns:
        Modality to the feature found, [width], of length 1: a head sees directions only.

    Raises:
        ModelError: an update of another model, one that is not finite, or all zero.
    """
    start = {}
    for name in supposed.own:
        begin = np.asarray(typical[name], np.float64)
        start[name] = torch.from_numpy(begin / max(float(np.linalg.norm(begin)), 1e-9)).float()
    found = infer(supposed, observed, start, steps=steps, rate=rate).found
    vectors = {name: found[name].double().numpy() for name in supposed.own}
    return {name: vector / max(float(np.linalg.norm(vector)), 1e-9) for name, vector in vectors.items()}
