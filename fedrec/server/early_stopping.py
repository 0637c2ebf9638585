"""Early stopping: the best parameters so far by the noisy validation sums, and whether more training is of use.

Prechelt, "Early stopping - but when?" (1998), section 2, with a number of requests in place of strips.  All of it
is made of noisy sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.config import TrainingSettings
from fedrec.server.state import ServerState


class EarlyStopping:
    """Remembers what validation said; durable, so that a run that was cut off decides as it would have.

    Args:
        settings: of training.
        state: of the server.
    """

    def __init__(self, settings: TrainingSettings, state: ServerState) -> None:
        self.settings, self.state = settings, state
        self.measures, self.values = state.load_validation()

    @property
    def best(self) -> int | None:
        """Which of the requests found the best parameters, from 0: the first one that later ones did not beat."""
        return _best(self.measures, self.settings)

    @property
    def over(self) -> bool:
        """Whether ``patience`` requests in a row found nothing better."""
        stopping, best = self.settings.stopping, self.best
        return stopping is not None and best is not None and len(self.measures) - 1 - best >= stopping.patience

    @property
    def early(self) -> bool:
        """Whether training ended before its last round."""
        return self.over and len(self.measures) < len(self.settings.validated)

    def due(self, done: int) -> int | None:
        """The number of the request to ask after ``done`` rounds; None where there is none, or it was asked."""
        number = len(self.measures)
        rounds = self.settings.validated
        return number + 1 if number < len(rounds) and rounds[number] == done else None

    def heard(self, measure: float, values: NDArray[np.float64]) -> None:
        """Take down what parameters were found to be worth."""
        self.measures = [*self.measures, measure]
        if self.best == len(self.measures) - 1:
            self.values = values
        self.state.save_validation(self.measures, self.values)

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


def _best(measures: list[float], settings: TrainingSettings) -> int | None:
    best: int | None = None
    least = 0.0 if settings.stopping is None else settings.stopping.least
    for place, measure in enumerate(measures):
        if best is None or measure > measures[best] + least:
            best = place
    return best
