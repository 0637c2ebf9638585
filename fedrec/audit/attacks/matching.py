"""Gradient matching: change the unknown input of a simulated device until its update is the one that was seen.

Zhu et al. 2019, "Deep Leakage from Gradients", with the cosine distance of Geiping et al. 2020, "Inverting Gradients",
section 3, which a clipped update leaves unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.errors import ModelError

Unknown = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class MatchedInput:
    """The input found, by name, and the cosine of its simulated update with the one seen."""

    found: dict[str, Tensor]
    cosine: float


def match(
    simulate: Callable[[Unknown], Tensor],
    observed: NDArray[np.floating],
    start: Unknown,
    *,
    steps: int,
    rate: float | Mapping[str, float],
    penalty: Callable[[Unknown], Tensor] | None = None,
) -> MatchedInput:
    """Follow the gradient of 1 - cos(simulated, observed) + penalty from ``start`` by Adam with a falling rate.

    Args:
        simulate: the update [P] of a device with that input; differentiable in it, through the update's own gradient.
        observed: [P], what the adversary saw.
        start: where each unknown begins.
        steps: how many, at least 1.
        rate: Adam's first rate, for all or by name; falls to a tenth by the last step.
        penalty: what an unlikely input costs, such as the sum of weights of which few are not zero.

    Raises:
        ModelError: ``observed`` is not finite, or all zero: there is nothing to match.
    """
    target = torch.from_numpy(np.asarray(observed, np.float64)).to(torch.float32)
    length = target.norm()
    if not bool(torch.isfinite(length)) or float(length) == 0.0:
        raise ModelError("an update to invert must be finite and not zero", value=float(length))
    target = target / length
    unknown = {name: value.clone().requires_grad_() for name, value in start.items()}
    rates = {name: rate if isinstance(rate, float | int) else rate[name] for name in unknown}
    adam = torch.optim.Adam([{"params": [value], "lr": rates[name]} for name, value in unknown.items()])
    falling = torch.optim.lr_scheduler.ExponentialLR(adam, 0.1 ** (1 / steps))
    cosine = 0.0
    for _ in range(steps):
        adam.zero_grad()
        simulated = simulate(unknown)
        near = torch.dot(simulated, target) / simulated.norm().clamp(min=1e-12)
        cost = 1 - near if penalty is None else 1 - near + penalty(unknown)
        # Only what is looked for: second derivatives in the parameters are as expensive, and nobody reads them.
        cost.backward(inputs=list(unknown.values()))
        adam.step()
        falling.step()
        cosine = float(near.detach())
    return MatchedInput({name: value.detach() for name, value in unknown.items()}, cosine)
