"""The content kernel: what all modalities say together is one more of them."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.collaborative.content_kernel import content_factors, content_kernel
from fedrec.config import PriorSettings
from fedrec.content.feature_table import Features

ITEMS = 60
GROUP = np.arange(ITEMS) % 4


def features(seed: int = 0, noise: float = 3.0) -> Features:
    """Two modalities in which the same four groups stand out of much that each says alone."""
    drawn = np.random.default_rng(seed)
    values = {}
    for name, width in (("text", 20), ("image", 12)):
        told = np.zeros((ITEMS, width))
        told[np.arange(ITEMS), GROUP] = 2.0
        values[name] = (told + noise * drawn.normal(size=(ITEMS, width)) / np.sqrt(width)).astype(np.float32)
    present = {"text": np.arange(ITEMS) != 5, "image": np.arange(ITEMS) > 7}
    values = {name: np.where(present[name][:, None], rows, 0) for name, rows in values.items()}
    return Features(tuple(map(str, range(ITEMS))), ("",) * ITEMS, values, present)


def told_apart(kernel: np.ndarray) -> float:
    """Mean likeness within a group less that between groups, in deviations."""
    off = ~np.eye(ITEMS, dtype=bool)
    same = (GROUP[:, None] == GROUP[None, :]) & off
    return float((kernel[same].mean() - kernel[~same & off].mean()) / kernel[off].std())


@pytest.mark.parametrize("seed", range(3))
def test_leading_directions_tell_apart_what_modalities_agree_on(seed: int) -> None:
    alone = PriorSettings(weight=1.0, modalities={"text": 1.0, "image": 1.0})
    together = alone.model_copy(update={"leading": 1.0, "leading_rank": 3})
    assert told_apart(content_kernel(features(seed), together)) > told_apart(content_kernel(features(seed), alone))


@pytest.mark.parametrize("sharpness", [0.0, 1.5])
def test_factors_give_the_kernel_and_an_item_without_content_is_like_none(sharpness: float) -> None:
    settings = PriorSettings(weight=1.0, modalities={"text": 1.0, "image": 0.5}, leading=0.4, sharpness=sharpness)
    kernel, factors = content_kernel(features(), settings), content_factors(features(), settings)
    np.testing.assert_allclose(factors @ factors.T, kernel, atol=1e-6)
    assert np.abs(kernel[5]).max() == 0.0
    if sharpness:
        np.testing.assert_allclose(np.delete(np.diag(kernel), 5), 1.0)


def test_its_weight_is_a_part_of_the_modalities_weights() -> None:
    settings = PriorSettings(weight=1.0, modalities={"text": 3.0, "image": 1.0}, leading=0.5)
    diagonal = np.diag(content_kernel(features(), settings))
    np.testing.assert_allclose(diagonal[8:], 4.0 * 1.5, rtol=1e-6)
