"""Early stopping: the best parameters so far by the noisy validation sums, and whether more training is of use.

Prechelt, "Early stopping - but when?" (1998), section 2, with a number of validations in place of strips.  All of it
is made of noisy sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.config import TrainingSettings


class EarlyStopping:
    """Remembers what validation said. ``settings``: of training."""

    def __init__(self, settings: TrainingSettings) -> None:
        self.settings = settings
        self.measures: list[float] = []
        self.values: NDArray[np.float64] = np.zeros(0)

    @property
    def best(self) -> int | None:
        """Which of the validations found the best parameters, from 0: the first one that later ones did not beat."""
        best: int | None = None
        least = 0.0 if self.settings.stopping is None else self.settings.stopping.least
        for place, measure in enumerate(self.measures):
            if best is None or measure > self.measures[best] + least:
                best = place
        return best

    @property
    def over(self) -> bool:
        """Whether ``patience`` validations in a row found nothing better."""
        stopping, best = self.settings.stopping, self.best
        return stopping is not None and best is not None and len(self.measures) - 1 - best >= stopping.patience

    @property
    def early(self) -> bool:
        """Whether training ended before its last round."""
        return self.over and len(self.measures) < len(self.settings.validated)

    def record(self, measure: float, values: NDArray[np.float64]) -> None:
        """Take down what parameters [P] were found to be worth."""
        self.measures = [*self.measures, measure]
        if self.best == len(self.measures) - 1:
            self.values = values

    def facts(self) -> Mapping[str, Any] | None:
        """For the run's record; None where nothing was asked."""
        if self.best is None:
            return None
        rounds = self.settings.validated
        return {
            "rounds": list(rounds[: len(self.measures)]),
            "measures": list(self.measures),
            "best_round": rounds[self.best],
            "stopped_early": self.early,
        }
