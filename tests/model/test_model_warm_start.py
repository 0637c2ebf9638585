from __future__ import annotations

import numpy as np
import pytest
import torch

from fedrec.config import ModelSettings
from fedrec.errors import ModelError
from fedrec.model.parameters import flatten
from fedrec.model.rows import ItemBatch
from fedrec.model.warm_start import fit_heads
from fedrec.testing import model_cases as cases

ITEMS = 60


@pytest.fixture
def catalogue():
    rng = np.random.default_rng(4)
    values = {name: rng.normal(size=(ITEMS, *shape)).astype(np.float32) + 0.4 for name, shape in cases.SHAPES.items()}
    present = {name: rng.random(ITEMS) > 0.2 for name in values}
    present["attributes"][:] = True
    return values, present


def outputs(model, values, present):
    """The heads' summed outputs, before any norm: [items, dimension]."""
    total = torch.zeros(ITEMS, model.dimension)
    for name in model.modalities:
        there = torch.from_numpy(present[name])
        encoded = model.encoders[name](torch.from_numpy(values[name])[None], there[None])[0]
        total += encoded.detach() * there[:, None]
    return total.numpy()


def kernel(values, present, weights):
    total = np.zeros((ITEMS, ITEMS))
    for name, raw in values.items():
        x = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        x = (x - x[present[name]].mean(0)) * present[name][:, None]
        total += weights.get(name, 1.0) * (x @ x.T)
    return total


@pytest.mark.parametrize("weights", [{}, {"text": 3.0, "image": 0.5}])
def test_with_room_the_kernel_is_kept_exactly(catalogue, weights):
    model = cases.make_model(ModelSettings(dimension=16), cases.SHAPES)
    fit_heads(model, *catalogue, weights, evenness=0.0)
    z, expected = outputs(model, *catalogue), kernel(*catalogue, weights)
    assert np.allclose(z @ z.T * np.trace(expected) / ITEMS, expected, atol=1e-4)
    assert np.square(z).sum(1).mean() == pytest.approx(1.0, abs=1e-4)


def test_without_room_it_is_the_best_approximation(catalogue):
    model = cases.make_model(ModelSettings(dimension=5), cases.SHAPES)
    fit_heads(model, *catalogue, evenness=0.0)
    z, full = outputs(model, *catalogue), kernel(*catalogue, {})
    values, vectors = np.linalg.eigh(full)
    best = (vectors[:, -5:] * values[-5:]) @ vectors[:, -5:].T
    assert np.allclose(z @ z.T * values[-5:].sum() / ITEMS, best, atol=1e-4)


@pytest.mark.parametrize("fusion", ["late", "max"])
def test_modalities_that_are_not_added_up_keep_each_their_own_kernel(catalogue, fusion):
    model = cases.make_model(ModelSettings(dimension=15, fusion=fusion), cases.SHAPES)
    values, present = catalogue
    fit_heads(model, values, present, evenness=0.0)
    for name in values:
        there = torch.from_numpy(present[name])
        encoded = model.encoders[name](torch.from_numpy(values[name])[None], there[None])[0].detach().numpy()
        z = encoded * present[name][:, None]
        expected = kernel({name: values[name]}, {name: present[name]}, {})
        assert np.allclose(z @ z.T * np.trace(expected) / ITEMS, expected, atol=1e-4), name


def test_full_evenness_gives_every_direction_the_same_spread(catalogue):
    model = cases.make_model(ModelSettings(dimension=6), cases.SHAPES)
    fit_heads(model, *catalogue, evenness=1.0)
    z = outputs(model, *catalogue)
    assert np.allclose(z.T @ z, np.eye(6) * ITEMS / 6, atol=1e-2)


def test_the_start_is_the_same_again_and_the_rest_is_left_alone(catalogue):
    settings = ModelSettings(dimension=8, text_encoder="textcnn", notes=True)
    values, present = catalogue
    one, two = (cases.make_model(settings, cases.SHAPES, seed=seed) for seed in (1, 1))
    text = {name: value.clone() for name, value in one.encoders["text"].state_dict().items()}
    fit_heads(one, values, present)
    fit_heads(two, values, present)
    assert (flatten(one) == flatten(two)).all()
    assert all(torch.equal(text[name], value) for name, value in one.encoders["text"].state_dict().items())
    used = one.encoders["image"].linear.weight.detach().abs().sum(1) > 0
    assert not used[list(one.encoders["text"].head.subspace.places)].any()


def test_features_of_what_is_missing_are_not_read(catalogue):
    values, present = catalogue
    one, two = (cases.make_model(ModelSettings(dimension=8), cases.SHAPES) for _ in range(2))
    fit_heads(one, values, present)
    fit_heads(two, {n: np.where(present[n][:, None], v, np.nan) for n, v in values.items()}, present)
    assert (flatten(one) == flatten(two)).all()


def test_an_empty_modality_gives_finite_heads(catalogue):
    values, present = catalogue
    model = cases.make_model(ModelSettings(dimension=8), cases.SHAPES)
    fit_heads(model, values, {name: np.zeros(ITEMS, bool) for name in present})
    there = torch.zeros(1, ITEMS, dtype=torch.bool)
    batch = ItemBatch({"text": torch.from_numpy(values["text"])[None]}, {"text": there}, ~there)
    assert np.isfinite(flatten(model)).all()
    assert not model.encode_items(batch).any()


def test_what_does_not_fit_is_refused(catalogue):
    values, present = catalogue
    model = cases.make_model(ModelSettings(dimension=8), cases.SHAPES)
    before = flatten(model)
    broken = {**values, "text": np.full_like(values["text"], np.inf)}
    for bad, kind in (
        (lambda: fit_heads(model, {"text": values["text"]}, present), "no features"),
        (lambda: fit_heads(model, {**values, "text": values["text"][:, :2]}, present), "do not fit"),
        (lambda: fit_heads(model, broken, present), "finite"),
        (lambda: fit_heads(model, values, present, {"text": -1.0}), "at least 0"),
        (lambda: fit_heads(model, values, present, evenness=1.5), "between 0 and 1"),
    ):
        with pytest.raises(ModelError, match=kind):
            bad()
    assert (flatten(model) == before).all()
