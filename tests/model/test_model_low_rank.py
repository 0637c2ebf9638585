"""A head trained in a few directions: few parameters, the full head's step projected, frozen parts that travel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedrec.config import ModelSettings
from fedrec.errors import ModelError
from fedrec.model import parameters
from fedrec.model.encoder_head import Head
from fedrec.model.encoder_low_rank import LowRankHead
from fedrec.model.subspace import Subspace
from fedrec.model.warm_start import fit_heads
from fedrec.testing import model_cases as cases

WIDE = {"text": (40,), "image": (30,), "attributes": (4,)}
ITEMS = 60


def settings(rank: int, **changes: object) -> ModelSettings:
    return ModelSettings.model_validate({"dimension": 8, "head_rank": rank, "fusion": "mean", **changes})


def catalogue() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(4)
    scale = {name: np.linspace(3, 0.1, shape[0]) for name, shape in WIDE.items()}
    values = {name: (rng.normal(size=(ITEMS, *shape)) * scale[name]).astype(np.float32) for name, shape in WIDE.items()}
    return values, {name: rng.random(ITEMS) > 0.1 for name in WIDE}


def test_what_is_trained_does_not_grow_with_the_width() -> None:
    heads = {rank: cases.make_model(settings(rank), WIDE) for rank in (0, 3)}
    assert isinstance(heads[3].encoders["text"], LowRankHead) and isinstance(heads[0].encoders["text"], Head)
    wider = cases.make_model(settings(3), {**WIDE, "text": (400,)})
    assert parameters.count(wider) == parameters.count(heads[3]) < parameters.count(heads[0]) / 4
    assert len(parameters.flatten_frozen(heads[3])) == 8 * 74 + 3 * 74
    assert len(parameters.flatten_frozen(heads[0])) == 0


def test_a_rank_as_large_as_the_width_is_the_full_head() -> None:
    model = cases.make_model(settings(4), WIDE)
    kinds = {name: type(encoder) for name, encoder in model.encoders.items()}
    assert kinds == {"text": LowRankHead, "image": LowRankHead, "attributes": Head}


@pytest.mark.parametrize("warm", [False, True])
def test_it_begins_as_the_full_head_does(warm: bool) -> None:
    values, present = catalogue()
    full, low = (cases.make_model(settings(rank), WIDE, seed=1) for rank in (0, 3))
    if warm:
        for model in (full, low):
            fit_heads(model, values, present)
    else:
        # Both draw the same weights for the first modality; directions to train along are drawn after them.
        values = {"text": values["text"]}
    for name, raw in values.items():
        given = torch.from_numpy(raw)[None], torch.from_numpy(present[name])[None]
        torch.testing.assert_close(low.encoders[name](*given), full.encoders[name](*given))


def test_a_step_is_the_full_heads_step_projected() -> None:
    generator = torch.Generator().manual_seed(2)
    low = LowRankHead(12, 5, 3, Subspace(0, 5), generator)
    full = Head(12, 5, Subspace(0, 5), generator)
    full.start(low.weight, low.up.bias)
    x, target = torch.randn(2, 6, 12, generator=generator), torch.randn(2, 6, 5, generator=generator)
    real = torch.ones(2, 6, dtype=torch.bool)
    for head, weight in ((low, low.up), (full, full.linear)):
        (head(x, real) - target).square().sum().backward()
        with torch.no_grad():
            weight.weight -= 0.1 * weight.weight.grad
    moved = low.up.weight @ low.down
    expected = (full.linear.weight - low.weight) @ low.down.T @ low.down
    torch.testing.assert_close(moved, expected)
    assert float(moved.detach().norm()) > 0.1


def test_without_a_trained_bias_only_directions_are_trained() -> None:
    """Also of a modality that is no wider than the rank, where the head would else be whole."""
    values, present = catalogue()
    full, low = (cases.make_model(settings(rank, head_bias=not rank), WIDE, seed=1) for rank in (0, 4))
    for model in (full, low):
        fit_heads(model, values, present)
    assert parameters.count(low) == 8 * (4 + 4 + 4) + 1  # and the offset of all logits
    for name, raw in values.items():
        given = torch.from_numpy(raw)[None], torch.from_numpy(present[name])[None]
        torch.testing.assert_close(low.encoders[name](*given), full.encoders[name](*given), atol=1e-5, rtol=1e-5)


def test_without_a_trained_bias_no_step_moves_all_items_alike() -> None:
    """Whatever the update, the mean over the catalogue's items stays where the start put it."""
    values, present = catalogue()
    values = {name: raw + 2.0 for name, raw in values.items()}
    model = cases.make_model(settings(4, head_bias=False), WIDE, seed=1)
    fit_heads(model, values, present)
    generator = torch.Generator().manual_seed(5)
    for name, raw in values.items():
        head = model.encoders[name]
        given = torch.from_numpy(raw)[None], torch.from_numpy(present[name])[None]
        before = head(*given).detach()
        with torch.no_grad():
            head.up.weight.copy_(torch.randn(head.up.weight.shape, generator=generator))
        moved = (head(*given).detach() - before)[0][torch.from_numpy(present[name])]
        assert float(moved.norm(dim=1).mean()) > 0.1
        torch.testing.assert_close(moved.mean(0), torch.zeros(8), atol=1e-5, rtol=0)


def test_fixed_biases_are_of_low_rank_heads() -> None:
    with pytest.raises(ValueError, match="head_rank"):
        settings(0, head_bias=False)


def test_directions_are_the_leading_ones_of_the_features() -> None:
    values, present = catalogue()
    model = cases.make_model(settings(3), WIDE)
    fit_heads(model, values, present)
    head = model.encoders["text"]
    assert isinstance(head, LowRankHead)
    torch.testing.assert_close(head.down @ head.down.T, torch.eye(3), atol=1e-5, rtol=0)
    x = values["text"] / np.linalg.norm(values["text"], axis=1, keepdims=True)
    x = (x - x[present["text"]].mean(0))[present["text"]]
    held = np.square(x @ head.down.numpy().T).sum()
    best = np.square(np.linalg.svd(x, compute_uv=False)[:3]).sum()
    assert held == pytest.approx(best, rel=1e-4)


def test_directions_that_the_catalogue_lacks_are_filled_up() -> None:
    """Features of rank one: the other directions stay orthonormal, whatever they are."""
    values, present = catalogue()
    values["text"] = np.outer(np.linspace(-1, 1, ITEMS), np.eye(40)[7]).astype(np.float32)
    model = cases.make_model(settings(3), WIDE)
    fit_heads(model, values, present)
    down = model.encoders["text"].down
    torch.testing.assert_close(down @ down.T, torch.eye(3), atol=1e-5, rtol=0)
    assert abs(float(down[0, 7])) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_a_broadcast_makes_another_model_the_same(bias: bool) -> None:
    values, present = catalogue()
    chosen = settings(3, head_bias=bias)
    sent = cases.make_model(chosen, WIDE, seed=1, shaken=0.2)
    fit_heads(sent, values, present)
    got = cases.make_model(chosen, WIDE, seed=2)
    parameters.receive(got, parameters.broadcast(sent))
    for one, other in zip(sent.state_dict().values(), got.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_broadcast_of_another_model_is_refused() -> None:
    low, full = cases.make_model(settings(3), WIDE), cases.make_model(settings(0), WIDE)
    arrays = parameters.broadcast(low)
    assert set(parameters.broadcast(full)) == {"parameters"}
    for wrong in (
        {"parameters": arrays["parameters"]},
        {**arrays, "frozen": arrays["frozen"][1:]},
        {**arrays, "frozen": arrays["frozen"] * np.nan},
    ):
        with pytest.raises(ModelError, match="frozen parts"):
            parameters.receive(low, wrong)
    with pytest.raises(ModelError, match="frozen parts"):
        parameters.receive(full, {**parameters.broadcast(full), "frozen": arrays["frozen"]})
