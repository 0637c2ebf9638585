"""Running totals of privacy spent: what a ledger adds each release to, so that a charge need not read all rows again.

Gaussian releases without amplification are one number: the sum of their 1/z^2.  Whoever asks may choose each release's
noise, and whether there is a further one, by what all before it showed: the total then still bounds what they cost
together, as long as each is refused that would bring it beyond the budget (a privacy filter: Smith and Thakurta, Fully
Adaptive Composition for Gaussian Differential Privacy, 2022; Whitehouse, Ramdas, Rogers and Wu, ICML 2023).
Other releases are counted by what they cost, and must have been planned before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fedrec.privacy.accountant import QueryCost, epsilon_of, gaussian_delta

ROUNDING: Final = 1e-9  # what adding the same costs up in another order changes, relative


@dataclass(frozen=True)
class SpentTotal:
    """What some releases cost together.

    ``gaussian``: the sum of 1/z^2 of Gaussian releases without amplification.  ``others``: every other cost, of one
    round, and how many rounds.  ``bare``: releases without noise.
    """

    gaussian: float = 0.0
    others: Mapping[QueryCost, int] = field(default_factory=dict)
    bare: int = 0

    def plus(self, cost: QueryCost | None, rounds: int = 1) -> SpentTotal:
        """With ``rounds`` more of a cost of one round, each of which the row is in; None = without noise."""
        if rounds == 0:
            return self
        if cost is None:
            return replace(self, bare=self.bare + rounds)
        if cost.exact:
            return replace(self, gaussian=self.gaussian + rounds / cost.noise_multiplier**2)
        one = replace(cost, rounds=1)
        return replace(self, others={**self.others, one: self.others.get(one, 0) + rounds})

    def epsilon(self, delta: float) -> float | None:
        """The epsilon of all together at ``delta`` in (0, 1); None where one is without noise."""
        if self.bare:
            return None
        return epsilon_of(self.gaussian, (replace(cost, rounds=count) for cost, count in self.others.items()), delta)

    def exceeds(self, epsilon: float, delta: float) -> bool:
        """Whether all together cost more than ``epsilon`` at ``delta``."""
        if self.bare:
            return True
        if self.others:
            found = self.epsilon(delta)
            return found is None or found > epsilon * (1 + ROUNDING)
        if not self.gaussian:
            return False
        return gaussian_delta(1 / math.sqrt(self.gaussian * (1 - ROUNDING)), epsilon) > delta

    def to_tree(self) -> dict[str, Any]:
        """As JSON; read back by `from_tree`."""
        others = [[cost.facts, count] for cost, count in self.others.items()]
        return {"gaussian": self.gaussian, "others": others, "bare": self.bare}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> SpentTotal:
        """The inverse of `to_tree`."""
        others = {QueryCost(**facts): int(count) for facts, count in tree["others"]}
        return cls(float(tree["gaussian"]), others, int(tree["bare"]))
