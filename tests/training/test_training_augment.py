"""Augmentation: changes what it says it does, as often as it says, and each row by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st
from training_worlds import small_features, small_population

from fedrec.config import Config, from_tree
from fedrec.errors import ConfigError
from fedrec.model import parameters
from fedrec.randomness import key, prf_uint64
from fedrec.training.augment import Augment, Augmenting, changed
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.learner import Learner
from fedrec.training.tables import Tables

POOL = np.arange(0, 40, 3, dtype=np.int32)
ROWS, ITEMS = 40, 30
DRAWN = prf_uint64(key(0, "test"), np.arange(ROWS, dtype=np.uint64)[:, None], np.arange(ITEMS, dtype=np.uint64))


def a_config(**training: object) -> Config:
    return from_tree(
        {"model": {"dimension": 4, "notes": True, "photos": True}, "run": {"reproducible": True}, "training": training}
    )


def test_of_a_text_as_states_whole_tokens_are_left_out_and_never_all() -> None:
    states = torch.rand(ROWS, ITEMS, 5, 3) + 1
    found = changed(states, DRAWN, 0.3)
    left = (found == states).all(-1)
    assert torch.equal(found, states * left.unsqueeze(-1))
    assert left[..., 0].all()
    deviation = (0.3 * 0.7 / left[..., 1:].numel()) ** 0.5
    assert abs(float((~left[..., 1:]).float().mean()) - 0.3) < 5 * deviation


def shifted(picture: np.ndarray, mirror: bool, across: int, down: int) -> np.ndarray:
    """One picture [3, side, side], pixel by pixel."""
    side = picture.shape[-1]
    out = np.empty_like(picture)
    for y in range(side):
        for x in range(side):
            from_x = side - 1 - x if mirror else x
            out[:, y, x] = picture[:, min(max(y + down, 0), side - 1), min(max(from_x + across, 0), side - 1)]
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_picture_becomes_one_of_its_mirrored_and_shifted_ones(dtype: type) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (ROWS, ITEMS, 3, 8, 8)).astype(dtype)
    found = changed(torch.from_numpy(pictures), DRAWN, 0.125).numpy()
    assert found.dtype == dtype
    seen = np.zeros((2, 3, 3))
    for row in range(ROWS):
        for item in range(ITEMS):
            fits = [
                (mirror, across, down)
                for mirror in (0, 1)
                for across in (-1, 0, 1)
                for down in (-1, 0, 1)
                if np.array_equal(found[row, item], shifted(pictures[row, item], bool(mirror), across, down))
            ]
            assert len(fits) == 1
            mirror, across, down = fits[0]
            seen[mirror, across + 1, down + 1] += 1
    expected = ROWS * ITEMS / seen.size
    assert (np.abs(seen - expected) < 4.5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("chance", [0.1, 0.5])
def test_coordinates_are_left_out_as_often_as_said_and_others_kept(chance: float) -> None:
    values = torch.ones(ROWS, ITEMS, 50)
    found = changed(values, DRAWN, chance).numpy()
    assert set(np.unique(found)) == {0.0, 1.0}
    share, spread = 1 - found.mean(), np.sqrt(chance * (1 - chance) / found.size)
    assert abs(share - chance) < 4.5 * spread
    # Independent over coordinates and over items: pairs are left out together as chance has it.
    for ours, theirs in ((found[..., :-1], found[..., 1:]), (found[:, :-1], found[:, 1:])):
        both = ((ours == 0) & (theirs == 0)).mean()
        assert abs(both - chance**2) < 6 * np.sqrt(chance**2 / ours.size)
    assert bool(values.all())  # the catalogue's own are not written to


@given(
    words=st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=6),
    seed=st.integers(0, 2**63),
    chance=st.floats(0.01, 0.5),
)
@few(max_examples=60)
def test_words_that_stay_keep_their_order_and_one_stays(words: list[list[int]], seed: int, chance: float) -> None:
    table = np.zeros((1, len(words), 6), np.int32)
    for place, text in enumerate(words):
        table[0, place, : len(text)] = text
    drawn = prf_uint64(key(seed, "words"), np.zeros((1, 1), np.uint64), np.arange(len(words), dtype=np.uint64)[None])
    found = changed(torch.from_numpy(table), drawn, chance).numpy()
    for before, after in zip(words, found[0], strict=True):
        kept = [word for word in after if word]
        assert list(after) == kept + [0] * (6 - len(kept))
        assert bool(kept) == bool(before)
        rest = iter(before)
        assert all(word in rest for word in kept)  # a subsequence


def test_a_row_is_the_same_alone_and_in_a_crowd_and_other_the_next_round() -> None:
    learner = Learner(a_config(augment=0.3, positives=2), small_features())
    values = parameters.flatten(learner.model)
    people = small_population()
    together = learner.update(people, values, POOL, 5).gradient
    alone = sum(learner.update(people.take(np.array([u])), values, POOL, 5).gradient for u in range(len(people)))
    np.testing.assert_allclose(together, alone, atol=1e-5)
    again = Learner(a_config(augment=0.3, positives=2), small_features()).update(people, values, POOL, 5).gradient
    np.testing.assert_array_equal(together, again)
    plain = Learner(a_config(positives=2), small_features()).update(people, values, POOL, 5).gradient
    assert np.linalg.norm(plain - together) > 0.05 * np.linalg.norm(plain)


def test_a_device_of_its_own_draws_from_a_stream_that_nobody_knows() -> None:
    secret = from_tree({"model": {"dimension": 4}, "training": {"augment": 0.3}})
    first, second = (Learner(secret, small_features()) for _ in range(2))
    values, people = parameters.flatten(first.model), small_population(own=False)
    ours, theirs = (learner.update(people, values, POOL, 1).gradient for learner in (first, second))
    assert not np.allclose(ours, theirs, atol=1e-4)


def test_rows_items_rounds_and_parts_differ() -> None:
    shape = RowShape(3, 7, notes=True, photos=True)
    people, tables = small_population(), Tables(small_features())

    def rows(round_number: int) -> dict[str, torch.Tensor]:
        augment = Augment(0.5, key(0, round_number))
        (found,) = build_rows(people, tables, POOL, shape, key=key(0, "rows"), batch_rows=99, augment=augment)
        return found.tensors()

    first, other = rows(1), rows(2)
    for name in ("history.values.text", "candidates.values.image", "notes.values.text", "photos.values.image"):
        assert not torch.equal(first[name], other[name])
    same_item = first["candidates.values.text"][:, -1] == 0  # the last of the pool, in every row
    assert len({tuple(row.tolist()) for row in same_item}) > 1
    for name, value in first.items():
        if "values" not in name:
            assert torch.equal(value, other[name])


def test_what_is_predicted_is_left_whole() -> None:
    settings = {"training": {"augment": 0.2, "auxiliary": 1.0}}
    augment = Augmenting(from_tree(settings)).of(1)
    assert augment is not None
    assert augment.whole == {"attributes"}
    assert Augmenting(from_tree({})).of(1) is None


def test_the_strength_is_bounded() -> None:
    with pytest.raises(ConfigError):
        from_tree({"training": {"augment": 0.6}})
