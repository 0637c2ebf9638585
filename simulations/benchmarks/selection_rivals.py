"""Ways to choose a candidate within a part of the budget, as draws of their noise: ours, and two published ones.

Each way gets the same numbers and the same part of the budget, and returns which candidate it takes in each of a number
of draws.  Where a way has a constant to set, the rivals get the best one of a few, looked at without noise, and ours
the default of the settings.

- `by_selection`: one Gaussian sum of all candidates' numbers, centred and clipped (`fedrec.queries.selection`).
- `by_noisy_maximum`: the exponential mechanism, as a maximum with Gumbel noise, on sums of numbers of range r, clipped.
  Removing a user moves the difference of two candidates by r at most, so it is of bounded range epsilon at scale r /
  epsilon, and costs what a Gaussian of epsilon^2 / 8 does in zCDP (Cesar and Rogers 2021, "Bounding, concentrating, and
  truncating: unifying privacy loss composition for data analytics", lemma 3.4).
- `by_random_repeats`: Papernot and Steinke 2022, "Hyperparameter tuning with Renyi differential privacy", theorem 2. A
  candidate drawn at random is measured by a Gaussian sum of its own against the default, a random number of times
  (truncated negative binomial of eta 0 or 1), and the best is taken.  Its Renyi curve and that of the sums are
  composed, and turned to epsilon as the curve of one Gaussian of the whole budget is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.choice import choose
from fedrec.collaborative.smoothing import alike
from fedrec.config import SelectionSettings
from fedrec.privacy.accountant import gaussian_noise
from fedrec.queries.device.selection import selection_rows

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
_SETTINGS: Final = SelectionSettings()
_RANGES: Final = (0.1, 0.2, 0.3, 0.5, 1.0)
_GUMBEL: Final = math.pi / math.sqrt(6.0)
_ORDERS: Final = 1.0 + np.geomspace(0.02, 500, 400)


@dataclass(frozen=True)
class Stake:
    """What a way of choosing is given.

    ``gains``: [users, K].  ``candidates``: by name, settings trees.  ``default``: a place among them.  ``z``:
    multiplier of one Gaussian release of the whole budget, of epsilon and delta.  ``share``: of the budget, in 1/z^2,
    that choosing may cost.
    """

    gains: Floats
    candidates: Mapping[str, Mapping[str, Any]]
    default: int
    z: float
    epsilon: float
    delta: float
    share: float

    def of_users(self, gains: Floats) -> Stake:
        """The same epsilon for so many users, delta being N^-1.1."""
        delta = len(gains) ** -1.1
        return replace(self, gains=gains, delta=delta, z=gaussian_noise(self.epsilon, delta))


def by_selection(stake: Stake, draws: int) -> Places:
    """As the query does it, with the settings' clip and caution."""
    sums = selection_rows(stake.gains, _SETTINGS.clip, stake.default).sum(axis=0)
    sigma, names = _SETTINGS.clip * stake.z / math.sqrt(stake.share), list(stake.candidates)
    default = names[stake.default]
    noisy = sums + np.random.default_rng(1).normal(0.0, sigma, (draws, len(sums)))
    similarity = alike(tuple(stake.candidates.values()))
    chosen = (choose(row, sigma, stake.candidates, default, similarity=similarity).chosen for row in noisy)
    return np.array([names.index(name) for name in chosen])


def by_noisy_maximum(stake: Stake, draws: int) -> Places:
    """With the best of a few ranges, and held against the default with the same caution."""
    epsilon = 2.0 * math.sqrt(stake.share) / stake.z
    tried = []
    for width in _RANGES:
        middle = (stake.gains.max(axis=1) + stake.gains.min(axis=1))[:, None] / 2
        sums = np.clip(stake.gains - middle, -width / 2, width / 2).sum(axis=0)
        scale = width / epsilon
        noisy = sums + np.random.default_rng(2).gumbel(0.0, scale, (draws, len(sums)))
        tried.append(_held_against(noisy, stake.default, _SETTINGS.caution * _GUMBEL * scale * math.sqrt(2.0)))
    return _best(stake, tried)


def by_random_repeats(stake: Stake, draws: int) -> Places:
    """With the best of a few distributions of the number of repeats, and of clips."""
    tried = []
    for eta, gamma, rho in repeats(stake):
        rng = np.random.default_rng(3)
        counts = np.minimum(_counts(eta, gamma, draws, rng), 1000)
        for clip in _RANGES:
            apart = np.clip(stake.gains - stake.gains[:, [stake.default]], -clip, clip).sum(axis=0)
            sigma = clip / math.sqrt(2.0 * rho)
            tried.append(np.array([_repeated(apart, sigma, int(count), stake.default, rng) for count in counts]))
    return _best(stake, tried) if tried else np.full(draws, stake.default)


def repeats(stake: Stake) -> Iterator[tuple[float, float, float]]:
    """(eta, gamma, rho): distributions of the number of repeats, each with the largest rho of one measurement (its
    Gaussian has multiplier 1 / sqrt(2 rho)) that keeps sums and choice within epsilon; none where nothing does."""
    whole, sums = 0.5 / stake.z**2, (1.0 - stake.share) * 0.5 / stake.z**2
    limit = _epsilon(_ORDERS * whole, stake.delta)
    for eta in (0.0, 1.0):
        for gamma in (0.9, 0.7, 0.5, 0.3, 0.1, 0.03):

            def fits(rho: float, eta: float = eta, gamma: float = gamma) -> bool:
                return _epsilon(_ORDERS * sums + _tuned(rho, eta, gamma), stake.delta) <= limit

            low, high = 1e-12, whole
            if not fits(low):
                continue
            for _ in range(50):
                middle = math.sqrt(low * high)
                low, high = (middle, high) if fits(middle) else (low, middle)
            yield eta, gamma, low


def mean_repeats(eta: float, gamma: float) -> float:
    """Of the truncated negative binomial distribution, eta 0 (logarithmic) or 1 (geometric)."""
    return (1.0 / gamma - 1.0) / math.log(1.0 / gamma) if eta == 0 else 1.0 / gamma


def _tuned(rho: float, eta: float, gamma: float) -> Floats:
    """Theorem 2's curve over `_ORDERS`, of a base of curve order * rho, with the best second order."""
    second = np.maximum(1.0, math.sqrt(math.log(1.0 / gamma) / rho))
    beside = (1.0 + eta) * ((1.0 - 1.0 / second) * second * rho + math.log(1.0 / gamma) / second)
    return np.asarray(_ORDERS * rho + beside + math.log(mean_repeats(eta, gamma)) / (_ORDERS - 1.0))


def _epsilon(curve: Floats, delta: float) -> float:
    """Of a Renyi curve over `_ORDERS` (Canonne, Kamath and Steinke 2020, proposition 12)."""
    orders = _ORDERS
    return float((curve + np.log1p(-1.0 / orders) - (math.log(delta) + np.log(orders)) / (orders - 1.0)).min())


def _counts(eta: float, gamma: float, draws: int, rng: np.random.Generator) -> Places:
    return rng.logseries(1.0 - gamma, draws) if eta == 0 else rng.geometric(gamma, draws)


def _repeated(apart: Floats, sigma: float, count: int, default: int, rng: np.random.Generator) -> int:
    places = rng.integers(len(apart), size=count)
    noisy = apart[places] + rng.normal(0.0, sigma, count)
    best = int(noisy.argmax())
    return int(places[best]) if noisy[best] > _SETTINGS.caution * sigma else default


def _held_against(noisy: Floats, default: int, margin: float) -> Places:
    best = noisy.argmax(axis=1)
    ahead = noisy[np.arange(len(noisy)), best] - noisy[:, default]
    return np.where(ahead > margin, best, default)


def _best(stake: Stake, tried: list[Places]) -> Places:
    known = stake.gains.mean(axis=0)
    return max(tried, key=lambda taken: float(known[taken].mean()))


WAYS: Final[Mapping[str, Callable[[Stake, int], Places]]] = {
    "selection": by_selection,
    "noisy maximum": by_noisy_maximum,
    "random repeats": by_random_repeats,
}
