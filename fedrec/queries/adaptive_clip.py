"""A clip that follows a quantile of the rows' gradient norms, paid for inside the training sum.

Andrew, Thakkar, McMahan and Ramaswamy, "Differentially Private Learning with Adaptive Clipping" (NeurIPS 2021): each
row also says, as one bit, whether its norm was within the clip; the clip moves by
``clip <- clip * exp(-learning_rate * (b - quantile))`` with b the noisy share of rows within it.  Too many rows within
means that the clip is too wide, so it shrinks.

The bit is centred (plus or minus one half) and rides as one more element of the training vector, scaled so that it
takes ``share`` of the squared bound: a row's whole part has norm at most ``joint_bound``, noise is sized for that, and
the sum costs what any training sum with its noise multiplier costs.  So the run spends its budget, no more and no less,
and the bit's price is that the gradient is noised ``1 / sqrt(1 - share)`` times as much.

The next clip is made of noisy sums alone.  A device that is absent, or has no row, says neither, which counts as half a
row within and half beyond: exact for the median, slow and slightly towards it for other quantiles.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from fedrec.config import AdaptiveClipSettings, PrivacySettings
from fedrec.errors import ProtocolError

CLIP: Final = "clip"
_ROUNDING: Final = 1e-9


def joint_bound(clip: float, settings: AdaptiveClipSettings | None) -> float:
    """Largest L2 norm of a row's gradient and bit together; the clip itself where it does not adapt."""
    return clip if settings is None else clip / math.sqrt(1 - settings.share)


def bits(within: int, beyond: int, clip: float, settings: AdaptiveClipSettings) -> float:
    """The element that so many rows within and beyond the clip add."""
    return (within - beyond) * _half(clip, settings)


def next_clip(clip: float, element: float, expected_rows: float, settings: AdaptiveClipSettings) -> float:
    """The clip of the next round.

    Args:
        clip: of this round.
        element: the opened, noisy sum of `bits`.
        expected_rows: how many rows were expected in it; the true number would be a second thing to protect.
        settings: how it adapts.
    """
    share = 0.5 + element / (2 * _half(clip, settings) * expected_rows)
    step = -settings.learning_rate * (float(np.clip(share, 0.0, 1.0)) - settings.quantile)
    return float(np.clip(clip * math.exp(step), settings.least, settings.most))


def agreed_clip(asked: object, round_number: int, privacy: PrivacySettings) -> float:
    """The clip that a request asks for, if it is one that a device accepts.

    It is the one of the settings, or, where that adapts, one that the rule can have reached by this round, within
    ``least`` and ``most``.

    Raises:
        ProtocolError: it is another one.
    """
    adaptive = privacy.adaptive_clip
    if adaptive is None:
        if asked is not None:
            raise ProtocolError("a clip is asked for, and this device's settings fix it", value=asked)
        return privacy.clip
    if isinstance(asked, bool) or not isinstance(asked, float) or not math.isfinite(asked):
        raise ProtocolError("a request says no clip", value=asked)
    reach = math.exp(adaptive.learning_rate * max(0, round_number - 1)) * (1 + _ROUNDING)
    least, most = max(adaptive.least, privacy.clip / reach), min(adaptive.most, privacy.clip * reach)
    if not least <= asked <= most:
        raise ProtocolError("a clip is asked for that the settings cannot lead to in this round", value=asked)
    return asked


def _half(clip: float, settings: AdaptiveClipSettings) -> float:
    """What one row adds: half of the bit's scale."""
    return clip * math.sqrt(settings.share / (1 - settings.share))
