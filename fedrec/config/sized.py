"""Which settings follow from the noise (`fedrec.queries.sizing`), and which of them stay as somebody wrote them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fedrec.errors import ConfigError

SIZED: Final = frozenset(
    {
        "collaborative.cooccurrence.enabled",
        "collaborative.cooccurrence.items",
        "collaborative.cooccurrence.normalise",
        "collaborative.fold_in.rank",
        "collaborative.fold_in.ridge",
        "collaborative.power_iteration.enabled",
        "collaborative.power_iteration.rank",
        "collaborative.power_iteration.steps",
        "collaborative.prior.leading",
        "collaborative.prior.weight",
        "collaborative.scoring.recency",
        "collaborative.short_history_weighting",
        "collaborative.solver.ridge",
        "model.notes",
        "model.photos",
    }
)
"""Keys with dots.  ``privacy.shares`` is not among them: of a table of shares each entry that is written stays."""


def written_of_sized(keys: Iterable[str]) -> tuple[str, ...]:
    """Of the keys that somebody wrote those that would follow from the noise, in order."""
    return tuple(sorted(SIZED.intersection(keys)))


def check_sized(keys: Iterable[str]) -> None:
    """Raises ValueError for a key that does not follow from the noise."""
    if unknown := sorted(set(keys) - SIZED):
        raise ValueError(f"collaborative.as_written: these follow from no noise: {unknown}; those are {sorted(SIZED)}")


def check_steps(enabled: bool, steps: int) -> None:
    """Raises ConfigError: steps of power iteration, which nobody asks for."""
    if steps and not enabled:
        raise ConfigError(
            "collaborative.power_iteration.steps are rounds before those of power_iteration.enabled",
            value=steps,
            action="Enable power iteration and disable co-occurrence, or leave the steps out",
        )
