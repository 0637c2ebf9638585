"""Which modality says how much of behaviour is read off a noisy sum, and left as given where nothing can be read."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.collaborative.modality_weights import weighed_by_sum
from fedrec.collaborative.power_iteration import Expected, ProjectionDirections, centre_of, first
from fedrec.config import PriorSettings
from fedrec.content.feature_table import Features

ITEMS, RANK = 150, 6
DRAWN = np.random.default_rng(0)
MASS = DRAWN.gamma(2.0, 1.0, ITEMS) + 0.1
VALUES = {name: DRAWN.normal(size=(ITEMS, 8)).astype(np.float32) for name in ("text", "image", "attributes")}
FEATURES = Features(
    ids=tuple(str(place) for place in range(ITEMS)),
    titles=tuple("" for _ in range(ITEMS)),
    values=VALUES,
    present={name: np.ones(ITEMS, dtype=bool) for name in VALUES},
)
PRIOR = PriorSettings(weight=1.0, modalities={"text": 1.0, "image": 0.2, "attributes": 0.8}, sharpness=1.5)


def kernel_of(name: str) -> np.ndarray:
    rows = VALUES[name].astype(np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return Expected.of(MASS, MASS, unit).factors


def asked() -> ProjectionDirections:
    joined = np.hstack([kernel_of(name) for name in VALUES])
    return first(Expected(MASS, centre_of(MASS), joined), RANK, 0.0)


def opened(truth: dict[str, float], sigma: float, seed: int = 1) -> np.ndarray:
    directions = asked()
    total = sum(weight * (kernel_of(name) @ (kernel_of(name).T @ directions.vectors)) for name, weight in truth.items())
    return (
        (total + np.random.default_rng(seed).normal(0, sigma, total.shape)).reshape(-1) if sigma else total.reshape(-1)
    )


def weights_of(sum_: np.ndarray, sigma: float) -> dict[str, float]:
    return weighed_by_sum(sum_, asked(), MASS, MASS, FEATURES, PRIOR, sigma).modalities


@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_the_weights_that_the_sum_was_made_with_come_out(sigma: float) -> None:
    found = weights_of(opened({"text": 3.0, "image": 9.0}, sigma), sigma)
    total = sum(PRIOR.modalities.values())
    assert found["image"] == pytest.approx(0.75 * total, rel=0.1)
    # An item's entries are not so many observations, so with few items the weights that are given still say something.
    assert found["text"] == pytest.approx(0.25 * total, rel=0.2)
    assert found["attributes"] < 0.05 * total


def test_the_more_noise_the_nearer_they_are_to_those_given() -> None:
    truth, total = {"image": 9.0}, sum(PRIOR.modalities.values())
    clear, noisy, noise = (weights_of(opened(truth, sigma), sigma)["image"] for sigma in (10.0, 40.0, 100.0))
    assert clear > 0.95 * total
    assert clear > noisy > noise
    # Six entries of an item are fewer than six items and more than one: of six, .46 of the total would be left at the
    # largest noise, and of one .47 at the middle one.
    assert noisy > 0.8 * total
    assert noise < 0.3 * total


def test_where_all_is_noise_the_weights_stay_near_those_given() -> None:
    found = weights_of(opened({"text": 1.0, "image": 0.2, "attributes": 0.8}, 500.0, seed=3), 500.0)
    assert sum(found.values()) == pytest.approx(2.0)
    for name, weight in PRIOR.modalities.items():
        assert 0.2 * weight < found[name] < 3 * weight + 0.3


def test_one_modality_and_no_signal_leave_the_prior_as_it_is() -> None:
    alone = PRIOR.model_copy(update={"modalities": {"text": 1.0, "image": 0.0}})
    assert weighed_by_sum(opened({"text": 1.0}, 0.0), asked(), MASS, MASS, FEATURES, alone, 0.0) is alone


def test_missing_content_weighs_nothing() -> None:
    values = {**VALUES, "image": np.zeros_like(VALUES["image"])}
    features = Features(
        FEATURES.ids, FEATURES.titles, values, {**FEATURES.present, "image": np.zeros(ITEMS, dtype=bool)}
    )
    found = weighed_by_sum(opened({"text": 3.0}, 0.0), asked(), MASS, MASS, features, PRIOR, 0.1)
    assert found.modalities["text"] > found.modalities["attributes"]
