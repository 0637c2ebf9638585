"""Server optimisers against hand-computed steps and a quadratic bowl."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from fedrec.errors import ModelError
from fedrec.queries.optimisers import Optimiser


def test_sgd_momentum_and_adam_take_the_steps_of_their_papers() -> None:
    start, gradient = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    np.testing.assert_allclose(Optimiser("sgd", 0.1).step(start, gradient), [0.95, 2.1])
    heavy = Optimiser("momentum", 0.1, 0.5)
    first = heavy.step(start, gradient)
    np.testing.assert_allclose(first, [0.95, 2.1])
    np.testing.assert_allclose(heavy.step(first, gradient), first - 0.1 * np.array([0.75, -1.5]))
    # Adam's first step is the learning rate in each coordinate, whatever the gradient's size.
    np.testing.assert_allclose(Optimiser("adam", 0.1).step(start, gradient), [0.9, 2.1], atol=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_each_finds_the_bottom_of_a_bowl(kind: Literal["sgd", "momentum", "adam"]) -> None:
    optimiser, at = Optimiser(kind, 0.05, 0.8), np.array([3.0, -2.0])
    for _ in range(400):
        at = optimiser.step(at, 2 * (at - np.array([1.0, 1.0])))
    np.testing.assert_allclose(at, [1.0, 1.0], atol=0.05)


@pytest.mark.parametrize("gradient", [np.zeros(3), np.array([np.nan, 0.0])])
def test_a_gradient_that_does_not_fit_is_refused(gradient: np.ndarray) -> None:
    with pytest.raises(ModelError):
        Optimiser("sgd", 0.1).step(np.zeros(2), gradient)
