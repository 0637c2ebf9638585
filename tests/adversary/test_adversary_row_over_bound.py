"""A server that broadcasts parameters for which a row's gradient nearly cancels, so that its norm is told too small.

The search draws hostile scales, temperatures, bounds and duplicated items, and climbs from the worst that it found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_cases import TOKENS, WIDTH
from torch import Tensor

from fedrec.config import Loss, ModelSettings, from_tree
from fedrec.content.features import Features
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch, Rows
from fedrec.registry import registry_of
from fedrec.testing.model_cases import PIXELS, SHAPES, SPECTRA, make_model, make_rows
from fedrec.training.clipping import ClippedGradients, Mode
from fedrec.training.local import LocalLearner
from fedrec.training.local_noise import LocalNoise
from fedrec.training.row_gradients import FactoredRows, RowGradients
from fedrec.users import Histories, UserBatch, keys_of

MODES: Final[tuple[Mode, ...]] = ("bookkeeping", "hooks", "ghost", "functional")
ALLOWED: Final = 1 + 1e-6
WIDE: Final = {"text": (300,), "image": (40,)}  # wide enough that factors are cheaper than the matrix
# Each kind of layer that a model may have: settings of the model, and the shapes of its items.
KINDS: Final[Mapping[str, tuple[Mapping[str, Any], Mapping[str, tuple[int, ...]]]]] = {
    "heads": ({}, SHAPES),
    "wide heads": ({"dimension": 32}, WIDE),
    "low rank": ({"head_rank": 2}, WIDE),
    "ids": ({"id_embedding": True}, {**SHAPES, "id": ()}),
    **{f"text {name}": ({"text_encoder": name}, SHAPES) for name in ("textcnn", "gru", "lstm")},
    "text minilm-lora": ({"text_encoder": "minilm-lora", "lora_rank": 2}, {"text": (TOKENS, WIDTH)}),
    **{f"image {name}": ({"image_encoder": name}, {**SHAPES, "image": PIXELS}) for name in ("cnn", "vgg")},
    "audio cnn": ({"audio_encoder": "cnn"}, {**SHAPES, "audio": SPECTRA}),
    **{f"fusion {name}": ({"fusion": name}, SHAPES) for name in registry_of("fusion").names()},
    **{f"tower {name}": ({"user_tower": name}, SHAPES) for name in registry_of("user tower").names()},
    "notes and photos": ({"notes": True, "photos": True}, SHAPES),
}
KNOBS: Final = 5


@dataclass(frozen=True)
class World:
    """A model of one kind and a row to make hostile."""

    model: Recommender
    start: Mapping[str, Tensor]
    row: Rows

    @classmethod
    def of(cls, kind: str) -> World:
        chosen, shapes = KINDS[kind]
        model = make_model(ModelSettings(**{"dimension": 8, **chosen}), shapes, shaken=0.3)
        start = {name: value.detach().clone() for name, value in model.named_parameters()}
        return cls(model, start, make_rows(model.settings, shapes).select(slice(4, 5)))

    def ratio(self, mode: Mode, knobs: np.ndarray, loss: Loss) -> float:
        """What the row adds over its bound, made hostile by ``knobs``: scale of parameters, temperature, bound, how
        alike its items are, and the seed."""
        scale, temperature, bound, alike, seed = knobs
        draw = torch.Generator().manual_seed(int(seed * 1000) & 0xFFFF)
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                value.copy_(self.start[name] + 0.3 * torch.randn(value.shape, generator=draw))
                value.mul_(10.0**scale)
        self.model.temperature = 10.0**temperature
        # Candidates that are alike cancel in the softmax; where the history is like them, too, there is no gradient.
        parts = ("candidates",) if int(seed) % 4 else ("history", "notes", "photos", "candidates")
        there = {name: getattr(self.row, name) for name in parts if getattr(self.row, name) is not None}
        row = replace(self.row, **{name: _alike(part, 10.0**alike) for name, part in there.items()})
        gradients = ClippedGradients(self.model, lambda logits, r: loss_per_row(loss, logits, r), 10.0**bound, mode)
        try:
            total, _, _ = gradients(row)
        finally:
            gradients.close()
        return float(np.linalg.norm(total)) / 10.0**bound


def _alike(batch: ItemBatch, apart: float) -> ItemBatch:
    """Items that differ from the first one by this share of what they did."""

    def moved(values: Tensor) -> Tensor:
        first = values[:, :1]
        if not values.is_floating_point():
            return first.expand_as(values) if apart < 1e-3 else values
        return first + apart * (values - first)

    return ItemBatch({name: moved(value) for name, value in batch.values.items()}, batch.present, batch.mask)


def worst(world: World, mode: Mode, draws: int, seed: int = 0) -> float:
    """The largest ratio that a random search, and then a climb from its worst, finds."""
    rng = np.random.default_rng(seed)
    best, found = np.zeros(KNOBS), 0.0
    losses = get_args(Loss)
    for draw in range(draws):
        if draw % 3 == 2:
            knobs = best + rng.normal(scale=[0.3, 0.2, 0.3, 0.5, 0.0], size=KNOBS)
        else:
            knobs = rng.uniform([-3, -5, -4, -5, 0], [2, 0, 1, 0, 50])
        ratio = world.ratio(mode, knobs, losses[draw % len(losses)])
        if ratio > found:
            best, found = knobs, ratio
    return found


@contextmanager
def always_factored() -> Iterator[pytest.MonkeyPatch]:
    """Dense layers of any size are kept as factors, as large ones are."""

    def factored(backprops: Any, inputs: Any) -> RowGradients:
        def three(values: Tensor) -> Tensor:
            return values.reshape(values.shape[0], -1, values.shape[-1])

        return FactoredRows(torch.cat([*map(three, backprops)], 1), torch.cat([*map(three, inputs)], 1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FactoredRows, "best", staticmethod(factored))
        yield patch


def float32_norms(self: FactoredRows) -> Tensor:
    """Ghost norms as they were: in float32, below 0 taken for 0."""
    g, a = self.backprops, self.inputs
    return ((g @ g.mT) * (a @ a.mT)).sum((1, 2)).clamp(min=0).sqrt().double()


@pytest.mark.parametrize("modality", ["text", "image", "audio"])
def test_every_item_encoder_is_searched(modality: str) -> None:
    named = {f"{modality} {name}" for name in registry_of(f"{modality} item encoder").names() if name != "head"}
    assert named <= set(KINDS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_row_adds_more_than_its_bound(kind: str, mode: Mode) -> None:
    assert 0.5 < worst(World.of(kind), mode, 24) <= ALLOWED


@pytest.mark.parametrize("kind", KINDS)
def test_no_row_adds_more_than_its_bound_where_every_layer_is_kept_as_factors(kind: str) -> None:
    with always_factored():
        assert 0.5 < worst(World.of(kind), "ghost", 40) <= ALLOWED


@pytest.mark.parametrize("kind", ["image cnn", "audio cnn"])
def test_float32_ghost_norms_let_a_row_be_beyond_its_bound(kind: str) -> None:
    with always_factored() as patch:
        patch.setattr(FactoredRows, "norms", float32_norms)
        assert worst(World.of(kind), "ghost", 200) > 1.1


@settings(max_examples=150, deadline=None)
@given(
    turns=st.integers(1, 9),
    size=st.floats(-6, 6),
    apart=st.floats(-12, 0),
    bound=st.floats(-6, 3),
    seed=st.integers(0, 10_000),
)
def test_factors_whose_terms_cancel_are_within_the_bound(
    turns: int, size: float, apart: float, bound: float, seed: int
) -> None:
    """Terms that add up to nearly nothing, of any size: the worst that activations and backprops could be."""
    assert _over(turns, size, apart, bound, seed) <= ALLOWED


def test_float32_norms_of_factors_whose_terms_cancel_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FactoredRows, "norms", float32_norms)
    rng = np.random.default_rng(3)
    assert max(_over(4, 4, rng.uniform(-5, -3), -1, seed) for seed in range(200)) > 100


def _over(turns: int, size: float, apart: float, bound: float, seed: int) -> float:
    """What a clipped row adds over its bound; its inputs are alike, and its backprops add up to nearly zero."""
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn((1, 1, 20), generator=draw) + 10.0**apart * torch.randn((1, turns, 20), generator=draw)
    backprops = torch.randn((1, turns, 5), generator=draw) * 10.0**size
    rows = FactoredRows(backprops - backprops.mean(1, keepdim=True), inputs)
    factors = (10.0**bound / (rows.norms() * (1 + 2.0**-23)).clamp(min=1e-300)).clamp(max=1.0)
    return float(rows.weighted_sum(factors).norm()) / 10.0**bound


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(-2, 4), clip=st.floats(-3, 1), seed=st.integers(0, 1000))
def test_no_interaction_adds_more_than_its_bound_to_a_local_step(scale: float, clip: float, seed: int) -> None:
    """A device's own steps: with one row and no noise, the step is the row."""
    config = from_tree(
        {
            "model": {"dimension": 8},
            "content": {"modalities": ["text"]},
            "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}},
            "training": {"examples": 1},
            "privacy": {
                "unit": "example", "epsilon": 8, "delta": 1e-3, "clip": 10.0**clip, "noise_place": "local",
                "local": {"bound": 1e9, "learning_rate": 1.0},
            },
        }
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    features = Features(
        tuple(map(str, range(30))), ("",) * 30,
        {"text": rng.normal(size=(30, 6)).astype(np.float32)}, {"text": np.ones(30, bool)}, (),
    )  # fmt: skip
    learner = LocalLearner(config, features)
    values = (rng.normal(size=sum(value.numel() for value in learner.values)) * 10.0**scale).astype(np.float32)
    people = UserBatch(Histories.of([[1, 2, 3]]), keys=keys_of(["ann"]))
    step = learner._step
    sums: list[np.ndarray] = []

    def watched(optimiser: Any, rows: Iterable[Rows]) -> tuple[int, float, int]:
        add = optimiser.add_noise
        optimiser.add_noise = lambda: (
            sums.append(torch.cat([value.summed_grad.flatten() for value in optimiser.params]).numpy()), add()
        )  # fmt: skip
        return step(optimiser, rows)

    learner._step = watched  # type: ignore[method-assign]
    learner.update(people, values, np.arange(30, dtype=np.int32), 1, LocalNoise(0.0, 1.0, bytes(32)))
    assert sums and all(np.linalg.norm(one) <= 10.0**clip / 2 * ALLOWED for one in sums)
