"""Opacus' accountant of privacy random variables, as a check on ours (Gopi, Lee and Wutschitz, NeurIPS 2021)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, check_delta
from fedrec.privacy.crosscheck import known_elsewhere

# What it may be off by, as a part of epsilon: it is an estimate with an error bound, and the bound is added to it.
ERROR = 5e-3


def prv_epsilon(costs: Iterable[QueryCost], delta: float, *, about: float) -> float:
    """Epsilon's upper end by Opacus' PRV accountant; 0.0 of no costs.

    Args:
        costs: a row's Poisson-sampled or full rounds; what is not amplified is counted in a row's participations.
        delta: in (0, 1).
        about: the epsilon that is expected, above 0; the error that is allowed is `ERROR` of it.

    Raises:
        PrivacyError: delta is not in (0, 1), or a spend is not Gaussian or sampled otherwise.
    """
    from opacus.accountants import PRVAccountant

    check_delta(delta)
    costs = list(costs)
    if other := [cost.mechanism for cost in costs if cost.mechanism is not None]:
        raise PrivacyError("Opacus' accountant knows Gaussian noise only", value=other[0])
    if not known_elsewhere(costs):
        raise PrivacyError("Opacus' accountant knows full and Poisson participation only")
    accountant = PRVAccountant()
    accountant.history = [
        (cost.noise_multiplier, cost.probability if cost.amplified else 1.0, cost.participations) for cost in costs
    ]
    if not accountant.history:
        return 0.0
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # log(1 - q) at q = 1, and overflow that it handles
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta, eps_error=ERROR * about))
