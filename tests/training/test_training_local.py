"""A device's own DP-SGD: bounded rows, noise of the right size, a contribution within its bound."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_worlds import ITEMS, small_features, small_population

from fedrec.config import Config, from_tree
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.losses import loss_per_row
from fedrec.randomness import key
from fedrec.training.examples import sample_examples
from fedrec.training.local import LocalLearner, noised, step_bounds
from fedrec.training.local_noise import LocalNoise
from fedrec.users import Histories, UserBatch, keys_of

FEATURES = small_features()
POOL = np.arange(ITEMS, dtype=np.int32)
FAR = 1e9  # a bound that scales nothing down


def config(**own: float) -> Config:
    return from_tree(
        {
            "model": {"dimension": 8, "warm_start": None},
            "content": {"modalities": ["text", "image"]},
            "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}},
            "training": {"examples": 4},
            "privacy": {
                "unit": "example",
                "epsilon": 8,
                "delta": 1e-3,
                "clip": 0.5,
                "noise_place": "local",
                "local": {"bound": FAR, "learning_rate": 1.0, **own},
            },
        }
    )


def user(items: list[int], name: str = "ann") -> UserBatch:
    return UserBatch(Histories.of([items]), keys=keys_of([name]))


def start(learner: LocalLearner) -> np.ndarray:
    return parameters.flatten(learner.model)


def turn(
    learner: LocalLearner, people: UserBatch, values: np.ndarray, noise: LocalNoise, number: int = 1
) -> np.ndarray:
    return learner.update(people, values, POOL, number, noise).gradient


@pytest.fixture(scope="module")
def learner() -> LocalLearner:
    torch.set_num_threads(1)
    return LocalLearner(config(), FEATURES)


def accepted(values: np.ndarray, deviation: float) -> bool:
    """A chi-square test at 10^-9 (normal approximation: there are hundreds of elements)."""
    count = len(values)
    statistic = float(np.sum((values / deviation) ** 2) - count) / math.sqrt(2 * count)
    return abs(statistic) < 6.5


def test_a_device_without_interactions_contributes_noise_of_the_right_size(learner: LocalLearner) -> None:
    values, multiplier = start(learner), 3.0
    parts = [
        turn(learner, user([]), values, LocalNoise(multiplier, 1.0, key(1, "turn", number))) for number in range(12)
    ]
    found = np.concatenate(parts)
    expected = multiplier * 0.5 / 4  # z times the clip, over the rows that a step's sum is divided by
    assert accepted(found, expected)
    assert not accepted(found, expected * 2 / 3)
    assert not accepted(found, expected * 3 / 2)
    assert not np.array_equal(parts[0], parts[1])


def test_a_device_with_interactions_has_the_same_noise_on_its_gradient(learner: LocalLearner) -> None:
    values, people, multiplier = start(learner), user(list(range(12))), 2.0
    bare = turn(learner, people, values, LocalNoise(0.0, 1.0, key(2, "bare")))
    found = np.concatenate(
        [
            turn(learner, people, values, LocalNoise(multiplier, 1.0, key(2, "turn", number))) - bare
            for number in range(12)
        ]
    )
    expected = multiplier * 0.5 / 4
    assert accepted(found, expected)
    assert not accepted(found, expected * 2 / 3)
    assert not accepted(found, expected * 3 / 2)


def test_the_noiseless_step_is_the_sum_of_clipped_rows(learner: LocalLearner) -> None:
    """Against autograd over single rows."""
    values, people = start(learner), user(list(range(16)))
    found = turn(learner, people, values, LocalNoise(0.0, 1.0, key(3, "bare"))) * 4
    (rows,) = learner._batches(people, POOL, 1, 0)
    plain = build_model(learner.config, FEATURES)  # without Opacus' hooks
    parameters.unflatten(plain, values)
    leaves = list(parameters.shared_parameters(plain).values())
    total, norms = np.zeros(len(values)), []
    for place in range(rows.rows):
        one = rows.select(slice(place, place + 1))
        loss = loss_per_row("sampled-softmax", plain(one), one).sum()
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        flat = torch.cat(
            [(torch.zeros_like(v) if g is None else g).reshape(-1) for v, g in zip(leaves, gradients, strict=True)]
        ).numpy()
        norms.append(float(np.linalg.norm(flat)))
        total += flat * min(1.0, 0.25 / norms[-1])
    assert max(norms) > 0.25  # else nothing is clipped, and this says nothing
    assert found == pytest.approx(total, abs=2e-5)


@given(st.lists(st.integers(0, ITEMS - 1), min_size=0, max_size=14, unique=True), st.integers(0, ITEMS - 1))
@settings(max_examples=25, deadline=None)
def test_one_interaction_moves_a_step_by_the_clip_at_most(items: list[int], more: int) -> None:
    learner = _shared()
    values, bare = start_values(), LocalNoise(0.0, 1.0, key(4, "bare"))
    with_it = turn(learner, user([*items, more] if more not in items else items), values, bare) * 4
    without = turn(learner, user([item for item in items if item != more]), values, bare) * 4
    assert np.linalg.norm(with_it - without) <= 0.5 * (1 + 1e-4)


@given(st.floats(0.01, 100), st.floats(0.05, 50), st.integers(1, 20_000))
@settings(max_examples=50, deadline=None)
def test_rows_are_clipped_by_what_rounding_may_add(clip: float, multiplier: float, length: int) -> None:
    bounds = step_bounds(clip, multiplier, length)
    assert 2 * bounds.row + bounds.resolution * math.sqrt(length) <= clip * (1 + 1e-12)
    assert 2 * bounds.row >= 0.5 * clip
    assert bounds.deviation == multiplier * clip
    assert math.frexp(bounds.resolution)[0] == 0.5


def test_noisy_sums_are_whole_steps_that_float32_holds() -> None:
    bounds = step_bounds(1.0, 3.0, 5000)
    noisy = noised(np.random.default_rng(0).normal(size=5000), bounds, key(5, "noise"))
    steps = noisy / bounds.resolution
    assert np.array_equal(steps, np.rint(steps))
    assert np.array_equal(noisy, noisy.astype(np.float32))


def test_samples_are_poisson() -> None:
    people = small_population(users=9, own=False)
    total = len(people.histories.items)
    sizes = [len(sample_examples(people, 0.3, key(6, "sample", number)).histories.items) for number in range(400)]
    mean, variance = float(np.mean(sizes)), float(np.var(sizes))
    assert abs(mean - 0.3 * total) < 5 * math.sqrt(total * 0.21 / 400)
    assert 0.7 < variance / (total * 0.21) < 1.4
    drawn = sample_examples(people, 0.3, key(6, "sample", 0))
    assert len(drawn) == len(people)
    for place in range(len(people)):
        assert set(drawn.histories[place]) <= set(people.histories[place])


def test_the_contribution_is_within_its_bound(learner: LocalLearner) -> None:
    small = LocalLearner(config(bound=0.125, steps=3, batch=4), FEATURES)
    values = start(small)
    found = turn(small, user(list(range(20))), values, LocalNoise(4.0, 0.25, key(7, "turn")))
    assert np.linalg.norm(found) == pytest.approx(0.125)


def test_a_turn_is_the_same_whoever_was_before(learner: LocalLearner) -> None:
    values, noise = start(learner), LocalNoise(1.0, 0.5, key(8, "turn"))
    first = turn(learner, user(list(range(9))), values, noise)
    turn(learner, user([30, 31], "bob"), values, replace(noise, key=key(8, "other")))
    assert np.array_equal(first, turn(learner, user(list(range(9))), values, noise))


def test_steps_draw_their_own_noise(learner: LocalLearner) -> None:
    """Two steps without data add two independent draws: the deviation grows by the root of two."""
    twice = LocalLearner(config(steps=2), FEATURES)
    found = np.concatenate(
        [turn(twice, user([]), start(twice), LocalNoise(3.0, 1.0, key(9, "turn", number))) for number in range(12)]
    )
    assert accepted(found, math.sqrt(2) * 3.0 * 0.5 / 4)
    assert not accepted(found, 2 * 3.0 * 0.5 / 4)


def _shared() -> LocalLearner:
    if not _LEARNER:
        _LEARNER.append(LocalLearner(config(), FEATURES))
        _VALUES.append(start(_LEARNER[0]))
    return _LEARNER[0]


def start_values() -> np.ndarray:
    return _VALUES[0]


_LEARNER: list[LocalLearner] = []
_VALUES: list[np.ndarray] = []
