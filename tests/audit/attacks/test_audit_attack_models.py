"""Model-level membership: synthetic models that remember their members, and some that do not."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.audit.attacks.figures import auc
from fedrec.audit.attacks.membership_model import lira, rmia, standardised_signals

MODELS, USERS = 8, 400


def world(memory: float) -> tuple[np.ndarray, np.ndarray]:
    """Two signals a user, each about a level of the user's own that tells nothing, moved by membership."""
    rng = np.random.default_rng(9)
    members = np.stack([rng.permutation(USERS) < USERS // 2 for _ in range(MODELS)])
    level = rng.normal(0, 5, (USERS, 2))
    signals = level + rng.normal(size=(MODELS, USERS, 2))
    signals[..., 0] += memory * members
    return signals, members


def test_both_find_members_of_models_that_remember_and_nobody_else() -> None:
    for memory, low, high in ((3.0, 0.93, 1.0), (0.0, 0.47, 0.53)):
        signals, members = world(memory)
        for scores in (lira(signals, members), rmia(signals[..., 0], members)):
            assert low <= auc(scores.ravel(), members.ravel()) <= high


def test_lira_is_as_strong_as_the_mechanism_allows_and_no_stronger() -> None:
    """One move of 1.5 standard deviations, with levels known from about 3.5 references: Phi(d / sqrt 2)."""
    signals, members = world(1.5)
    assert auc(lira(signals, members).ravel(), members.ravel()) == pytest.approx(0.83, abs=0.03)


def test_lira_uses_a_signal_that_falls_for_members() -> None:
    signals, members = world(3.0)
    assert auc(lira(-signals, members).ravel(), members.ravel()) > 0.93


def test_calibration_never_reads_the_target() -> None:
    signals, members = world(0.0)
    references = np.arange(MODELS) != 2
    before = standardised_signals(signals, members, references)
    changed = members.copy()
    changed[2] = ~changed[2]
    assert np.array_equal(before, standardised_signals(signals, changed, references))
    always = np.ones_like(members)
    assert np.isfinite(standardised_signals(signals, always, references)).all()


def test_rmia_is_a_share() -> None:
    signals, members = world(3.0)
    scores = rmia(signals[..., 0], members)
    assert scores.min() >= 0
    assert scores.max() <= 1
