"""The learning rate of each round: a warm-up from small steps, then constant or falling towards zero."""

from __future__ import annotations

import math

from fedrec.config import TrainingSettings


def share_of_rate(number: int, settings: TrainingSettings) -> float:
    """What round ``number``, from 1, takes of ``training.learning_rate``: above 0 and at most 1.

    The first ``warmup`` rounds rise linearly to 1 (Goyal et al. 2017, section 2.2).  Of the others the first one has
    1, and then ``cosine`` falls along half a cosine (Loshchilov and Hutter 2017, section 3, without restarts) and
    ``linear`` along a line, so that the round after the last would have 0.
    """
    if number <= settings.warmup:
        return number / settings.warmup
    done = (number - settings.warmup - 1) / (settings.rounds - settings.warmup)
    if settings.schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1 - done if settings.schedule == "linear" else 1.0
