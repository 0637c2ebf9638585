"""What a run will ask and what each query may cost: as devices reckon it too, see `fedrec.privacy.run_plan`."""

from __future__ import annotations

from fedrec.config import Config
from fedrec.privacy.ledger import Budget
from fedrec.privacy.run_plan import (
    bands_of,
    claimed,
    costs_of,
    delta_of,
    first_rounds,
    is_local,
    minimum_separation_of,
    rounds_of,
    rows_of,
    share_of,
)

__all__ = [
    "bands_of",
    "budget_of",
    "claimed",
    "delta_of",
    "first_rounds",
    "rounds_of",
    "rows_of",
    "minimum_separation_of",
    "share_of",
    "costs_of",
]


def budget_of(config: Config, users: int) -> Budget | None:
    """What the server's ledger may spend; None without noise, and where devices add and account for all noise."""
    if config.privacy.epsilon is None or is_local(config):
        return None
    return Budget(config.privacy.epsilon, delta_of(config, users), config.privacy.unit)
