"""The same costs by three accountants."""

from __future__ import annotations

from collections.abc import Sequence

from fedrec.audit.prv import ERROR, prv_epsilon
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.crosscheck import known_elsewhere, pld_epsilon, rdp_epsilon


def by_three(costs: Sequence[QueryCost], delta: float, about: float) -> dict[str, float | None]:
    """Epsilon by losses (ours), by Opacus' PRV with its error, and by Renyi; null by one that does not know the noise
    or the sampling. ``about``: the epsilon that is expected."""
    known = known_elsewhere(costs)
    opacus = known and all(cost.mechanism is None for cost in costs)
    return {
        "pld": pld_epsilon(costs, delta),
        "prv": prv_epsilon(costs, delta, about=about) if opacus else None,
        "prv_error": ERROR * about if opacus else None,
        "rdp": rdp_epsilon(costs, delta) if known else None,
    }
