"""Many readings of the same paid sums: what is made of them once, though several candidates use it."""

from __future__ import annotations

from collections.abc import Sequence

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.reading import PaidSums
from fedrec.config import CollaborativeSettings, ScoringSettings
from fedrec.content.feature_table import Features


def readings(
    sums: PaidSums, candidates: Sequence[CollaborativeSettings], features: Features
) -> list[CollaborativeFactors]:
    """Factors for each candidate; one object where candidates differ only in what follows the reading.

    Raises:
        ConfigError, ModelError: as `fedrec.collaborative.reading.read`.
    """
    solved: dict[str, CollaborativeFactors] = {}
    made: dict[str, CollaborativeFactors] = {}
    found = []
    for settings in candidates:
        base = _made_of(settings)
        name = f"{settings.scoring.discount} {base}"
        if name not in made:
            if base not in solved:
                solved[base] = sums.solved(settings, features)
            made[name] = solved[base].discounted(settings.scoring.discount)
        found.append(made[name])
    return found


def _made_of(settings: CollaborativeSettings) -> str:
    """The settings that a table is solved from: how finished scores weigh, and how events age, is not among them."""
    fold_in = settings.fold_in
    if fold_in is not None:
        fold_in = fold_in.model_copy(update={"weight": 1.0, "unknown": 1.0, "ridge": 1.0})
    return settings.model_copy(update={"scoring": ScoringSettings(), "fold_in": fold_in}).model_dump_json()
