"""The same costs by other accountants, to check the figure: privacy loss distributions throughout, and Renyi's.

Neither is looser by mistake: both are upper bounds, so the exact figure is at most either.  Renyi's (Mironov, CSF 2017;
Mironov, Talwar and Zhang, 2019, for Poisson-sampled Gaussians) is known to be the loosest.  A third, the numerical
composition that comes with Opacus, is in `fedrec.audit.prv`, since this folder does not import Opacus.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import dp_accounting
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, check_delta, epsilon
from fedrec.privacy.composition import event_of

# Whole orders from 11 on are quick to compute; those below 1.5, whose series may not converge, hardly ever win.
_ORDERS = [*(x / 10 for x in range(15, 110)), *range(11, 65), 80, 96, 128, 192, 256, 512, 1024]
_PLD_STEP = 1e-4


def known_elsewhere(costs: Iterable[QueryCost]) -> bool:
    """Whether the other accountants know how these costs are sampled: they do full and Poisson participation."""
    return not any(cost.amplified and cost.sampling not in ("poisson", "cyclic-poisson") for cost in costs)


def pld_epsilon(costs: Iterable[QueryCost], delta: float) -> float:
    """Epsilon by composed privacy loss distributions (Doroshenko et al., PoPETs 2022); 0.0 of no costs.

    With sampled costs it is `accountant.epsilon`.  Without, that is exact, and this lies above it by about 0.1 %.
    Raises PrivacyError if delta is not in (0, 1).
    """
    spent = list(costs)
    check_delta(delta)
    if not all(cost.exact for cost in spent):
        return epsilon(spent, delta)
    total = math.fsum(cost.participations / cost.noise_multiplier**2 for cost in spent)
    if not total:
        return 0.0
    accountant = PLDAccountant(value_discretization_interval=_PLD_STEP * max(1.0, total / 10))
    accountant.compose(dp_accounting.GaussianDpEvent(1 / math.sqrt(total)))
    return float(accountant.get_epsilon(delta))


def rdp_epsilon(costs: Iterable[QueryCost], delta: float) -> float:
    """Epsilon by Renyi differential privacy; 0.0 of no costs.

    Raises:
        PrivacyError: delta is not in (0, 1), or a cost is sampled otherwise than it knows.
    """
    spent = list(costs)
    check_delta(delta)
    if not known_elsewhere(spent):
        raise PrivacyError("this accountant knows full and Poisson participation only")
    if not spent:
        return 0.0
    accountant = RdpAccountant(_ORDERS)
    for cost in spent:
        event = event_of(cost.noise_multiplier, cost.probability if cost.amplified else 1.0, cost.mechanism)
        accountant.compose(dp_accounting.SelfComposedDpEvent(event, cost.participations))
    return float(accountant.get_epsilon(delta))
