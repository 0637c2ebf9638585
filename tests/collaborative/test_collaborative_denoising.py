"""Denoising: nothing is lost without noise, and with it more is gained the more the content knows."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.collaborative.denoising import Denoising, denoised

ITEMS, RANK, WIDTH = 240, 4, 6
HOW: tuple[Denoising, ...] = ("items", "content")


def world(seed: int, own: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sum that follows content, with an own part as large as said: truth [items, r], content, mass."""
    drawn = np.random.default_rng(seed)
    mass = drawn.gamma(1.0, 1.0, ITEMS) + 0.05
    content = np.sqrt(mass)[:, None] * drawn.normal(size=(ITEMS, WIDTH))
    truth = content @ drawn.normal(size=(WIDTH, RANK)) + own * np.sqrt(mass)[:, None] * drawn.normal(size=(ITEMS, RANK))
    return truth, content, mass


def error(how: Denoising, own: float, sigma: float, seed: int) -> float:
    truth, content, mass = world(seed, own)
    noisy = truth + np.random.default_rng(seed + 1).normal(0, sigma, truth.shape)
    found = denoised(noisy, np.zeros_like(truth), content, mass, sigma, np.ones((ITEMS, 1)), how)
    return float(np.square(found - truth).mean() / np.square(noisy - truth).mean())


@pytest.mark.parametrize("how", HOW)
def test_without_noise_nothing_changes_but_the_weights(how: Denoising) -> None:
    truth, content, mass = world(0, 1.0)
    weights = np.random.default_rng(1).uniform(0.3, 2.0, (ITEMS, 1))
    found = denoised(truth * weights, truth, content, mass, 0.0, weights, how)
    np.testing.assert_allclose(found, truth, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_what_follows_content_is_found_in_the_noise(seed: int) -> None:
    """Of a sum that is content alone, all but width / items of the noise can go; by items' masses alone it cannot."""
    assert error("content", 0.0, 4.0, seed) < 0.1
    assert error("items", 0.0, 4.0, seed) > 0.2


@pytest.mark.parametrize("seed", range(3))
def test_content_that_says_nothing_costs_little(seed: int) -> None:
    truth, _, mass = world(seed, 1.0)
    drawn = np.random.default_rng(seed + 5)
    other = np.sqrt(mass)[:, None] * drawn.normal(size=(ITEMS, WIDTH))
    noisy = truth + drawn.normal(0, 3.0, truth.shape)
    kinds = [denoised(noisy, np.zeros_like(truth), other, mass, 3.0, np.ones((ITEMS, 1)), how) for how in HOW]
    by_items, by_content = (float(np.square(found - truth).sum()) for found in kinds)
    assert by_content < 1.1 * by_items < 1.1 * float(np.square(noisy - truth).sum())


def test_weights_of_items_are_divided_out_with_their_noise() -> None:
    truth, content, mass = world(7, 0.0)
    weights = np.random.default_rng(8).uniform(0.3, 2.0, (ITEMS, 1))
    noisy = truth * weights + np.random.default_rng(9).normal(0, 3.0, truth.shape)
    found = denoised(noisy, np.zeros_like(truth), content, mass, 3.0, weights, "content")
    assert np.square(found - truth).mean() < 0.1 * np.square(noisy / weights - truth).mean()


def test_of_nothing_but_noise_nearly_nothing_is_left() -> None:
    _, content, mass = world(3, 0.0)
    noise = np.random.default_rng(4).normal(0, 2.0, (ITEMS, RANK))
    found = denoised(noise, np.zeros_like(noise), content, mass, 2.0, np.ones((ITEMS, 1)), "content")
    assert np.square(found).sum() < 0.15 * np.square(noise).sum()
