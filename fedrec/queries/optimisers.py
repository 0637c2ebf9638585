"""What the server does with a mean gradient: SGD, momentum, Adam, on one flat vector.

Reddi et al. 2021, "Adaptive Federated Optimization", with the mean clipped gradient as pseudo-gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError

_BETA2, _TINY = 0.99, 1e-8


@dataclass
class Optimiser:
    """A server optimiser; its whole state is ``moments`` and ``steps``, so that it can be saved and resumed.

    Args:
        kind: ``sgd``, ``momentum`` (heavy ball) or ``adam`` (with bias correction).
        learning_rate: above 0.
        momentum: first-moment decay, in [0, 1).
    """

    kind: Literal["sgd", "momentum", "adam"]
    learning_rate: float
    momentum: float = 0.9
    steps: int = 0
    moments: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def step(
        self, parameters: NDArray[np.float64], gradient: NDArray[np.float64], share: float = 1.0
    ) -> NDArray[np.float64]:
        """Return new parameters, one step down ``gradient``, with this share of the learning rate.

        Raises ModelError on unequal shapes or a non-number.
        """
        if parameters.shape != gradient.shape or not np.isfinite(gradient).all():
            raise ModelError("a gradient does not fit the parameters or is not finite", value=gradient.shape)
        self.steps += 1
        return parameters - share * self.learning_rate * self._direction(gradient)

    def _direction(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.kind == "sgd":
            return gradient
        first = self.momentum * self.moments.get("first", np.zeros_like(gradient))
        if self.kind == "momentum":
            self.moments["first"] = first + gradient
            return self.moments["first"]
        self.moments["first"] = first + (1 - self.momentum) * gradient
        second = _BETA2 * self.moments.get("second", np.zeros_like(gradient)) + (1 - _BETA2) * gradient**2
        self.moments["second"] = second
        mean = self.moments["first"] / (1 - self.momentum**self.steps)
        spread = second / (1 - _BETA2**self.steps)
        return np.asarray(mean / (np.sqrt(spread) + _TINY))
