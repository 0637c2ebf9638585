"""Gradient inversion of what a user wrote or photographed: the content of a note or a photo out of one update.

Zhu et al. 2019, "Deep Leakage from Gradients": a dummy input is changed until its update is the one that was seen.
The dummy is the supposed user of `membership_updates`, whose note or photo is unknown as well.  A single feature among
scores of items is not determined well by the update alone, so it is looked for as a sparse combination of contents
that exist, as image priors do for pictures in Geiping et al. 2020, "Inverting Gradients".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.audit.attacks.membership_updates import SupposedUser, infer


@dataclass(frozen=True, eq=False)
class InvertedContent:
    """What was found of one modality: how much each candidate is in it, and the feature that they make."""

    weights: NDArray[np.float64]
    feature: NDArray[np.float64]


def invert_content(
    supposed: SupposedUser, observed: NDArray[np.floating], *, steps: int = 250, rate: float = 0.03
) -> dict[str, InvertedContent]:
    """The user's own content that explains the update ``observed`` [P] best, for each modality in ``supposed.own``.

    Returns:
        By modality: weights [candidates] and the feature [width], of length 1, because a head sees directions only.

    Raises:
        ModelError: an update of another model, one that is not finite, or all zero.
    """
    found = infer(supposed, observed, steps=steps, rate=rate).found
    made = {}
    for name, candidates in supposed.own.items():
        weights = found[name].double().numpy() ** 2
        known = candidates.double().numpy()
        feature = weights @ (known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-9))
        made[name] = InvertedContent(weights, feature / max(float(np.linalg.norm(feature)), 1e-12))
    return made


def same_content(features: NDArray[np.floating], first: int, second: int) -> bool:
    """Whether two rows of features [n, width] say the same to a head: the same direction."""
    one, other = features[first].astype(np.float64), features[second].astype(np.float64)
    return bool(one @ other >= (1 - 1e-6) * np.linalg.norm(one) * np.linalg.norm(other))
