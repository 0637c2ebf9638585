"""Local noise: each device makes its own contribution private, by DP-SGD over its own interactions.

**The mechanism.**  In a round a device takes a few steps from the broadcast parameters.  For a step it draws each of
its interactions with probability q, independently (Poisson; on the device, and secret); the drawn ones are dealt into
rows by a hash that looks at no other interaction; each row's gradient is clipped to half of a bound C; noise of
deviation z C is added to their sum.  What it contributes is a function of these noisy sums and of public numbers.

**What an interaction costs.**  Let the other interactions' coins be fixed.  An interaction that is drawn changes one
row, or makes one, so it moves the sum by C at most; one that is not drawn changes nothing.  So the sum with it is a
mixture, 1 - q of the normal distribution without it and q of one whose mean is at most C away: the Poisson-sampled
Gaussian mechanism with noise multiplier z, however rows are made of what was drawn.  Averaging over the coins keeps
that (joint convexity), steps and rounds compose, and the rest is post-processing.  Amplification holds towards
everybody, the server too: nobody but the device knows what was drawn.

**What is taken as known.**  q is the expected batch over the number of interactions, and z follows from q.  So that
both tell little, the number is rounded down to a power of two; that power is taken as known, and an interaction is
*replaced by nothing*.  Where a step takes all interactions, q is 1 and z is the same for every device.

Abadi et al. (CCS 2016), algorithm 1, on one device; per-example local DP of federated devices as in Truex et al.,
"LDP-Fed" (2020), and the sampled Gaussian mechanism of Mironov, Talwar and Zhang (2019).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from fedrec.config import Config
from fedrec.privacy.accountant import QueryCost, Sampling
from fedrec.privacy.calibrate import plan
from fedrec.privacy.run_plan import is_local, minimum_separation_of


def known_count(interactions: int) -> int:
    """The largest power of two that is not above a number of interactions; 1 for none."""
    return 1 << max(0, interactions.bit_length() - 1)


def probability_of(config: Config, interactions: int) -> float:
    """The chance of each of a device's interactions to be in a step."""
    batch = config.privacy.local.batch
    return min(1.0, batch / known_count(interactions)) if batch else 1.0


def turns_of(config: Config, devices: int) -> int:
    """The most rounds in which one device takes part: all of them, unless cohorts are cyclic."""
    return -(-config.training.rounds // minimum_separation_of(config, devices))


def local_cost(config: Config, interactions: int, devices: int) -> QueryCost | None:
    """What one round costs a device: a cost of ``privacy.local.steps`` releases; None for a run without noise.

    All its rounds together cost at most ``privacy.epsilon`` at ``privacy.delta``.

    Raises:
        PrivacyError: no noise in 0.01 to 1e9 meets the budget.
    """
    privacy = config.privacy
    if privacy.epsilon is None or privacy.delta is None or not config.training.rounds:
        return None
    steps = privacy.local.steps
    count = steps * turns_of(config, devices)
    return replace(_planned(privacy.epsilon, privacy.delta, count, probability_of(config, interactions)), rounds=steps)


def promise_said(config: Config) -> dict[str, Any]:
    """What the server's ledger says of a round where devices add all noise: the promise they were asked to keep.

    Empty for other runs.  The server's rows spend nothing, since what it opens was private before.
    """
    promise = promise_of(config)
    return {} if promise is None else {"noise_place": "local", **promise}


def promise_of(config: Config) -> dict[str, Any] | None:
    """Epsilon, delta and unit to which every device holds itself; None where devices do not add all noise."""
    privacy = config.privacy
    if not is_local(config) or privacy.epsilon is None:
        return None
    return {"epsilon": privacy.epsilon, "delta": privacy.delta, "unit": privacy.unit}


# Planning for sampled steps takes seconds; devices with about as many interactions have the same plan.
@lru_cache(maxsize=64)
def _planned(epsilon: float, delta: float, count: int, probability: float) -> QueryCost:
    sampling: Sampling = "poisson" if probability < 1 else "full"
    (cost,) = plan(epsilon, delta, {"training": 1.0}, {"training": count}, {"training": (sampling, probability)})
    return cost
