from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule

from fedrec.config import ModelSettings
from fedrec.errors import ModelError
from fedrec.model.adapter import Adapter
from fedrec.model.losses import loss_per_row
from fedrec.model.parameters import count, flatten, named_parts, shapes, shared_parameters, unflatten
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch, Rows
from fedrec.testing import model_cases as cases

SETTINGS = ModelSettings(dimension=8, notes=True, photos=True)


@pytest.fixture
def model():
    return cases.make_model(SETTINGS, cases.SHAPES, shaken=0.2)


@pytest.fixture
def rows():
    return cases.make_rows(SETTINGS, cases.SHAPES)


def test_forward_is_encode_then_score(model, rows):
    history, items = model.encode_items(rows.history), model.encode_items(rows.candidates)
    notes = (model.encode_items(rows.notes), rows.notes.mask)
    photos = (model.encode_items(rows.photos), rows.photos.mask)
    user = model.encode_user(history, rows.history.mask, notes, photos)
    assert torch.allclose(model.score(user, items), model(rows), atol=1e-5)
    length = user.norm(dim=-1)
    assert torch.allclose(length[1:], torch.ones(4), atol=1e-3)
    cosine = torch.einsum("rd,rnd->rn", user, items)
    assert torch.allclose(model(rows), cosine / 0.5 + model.offset.weight, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("absent", [("notes",), ("photos",), ("notes", "photos")])
def test_sources_may_be_absent_and_hooks_stay_exact(model, rows, absent):
    model, rows = model.double(), replace(rows, **dict.fromkeys(absent)).to(torch.float64)
    expected = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    for i in range(rows.rows):
        alone = rows.select(slice(i, i + 1))
        loss = loss_per_row("bpr", model(alone), alone).sum()
        for name, value in zip(expected, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            expected[name] += value.square()
    hooked = GradSampleModule(model, batch_first=True, loss_reduction="sum")
    loss_per_row("bpr", hooked(rows), rows).sum().backward()
    for name, value in model.named_parameters():
        assert torch.allclose(value.grad_sample.square().sum(0), expected[name], rtol=1e-7, atol=1e-12), name


def test_sources_the_model_was_built_without_are_ignored(rows):
    model = cases.make_model(ModelSettings(dimension=8), cases.SHAPES)
    assert torch.equal(model(rows), model(replace(rows, notes=None, photos=None)))


@pytest.mark.parametrize("names", [("text",), ("image",), ("attributes",), ("attributes", "text")])
def test_any_set_of_modalities_makes_a_model(names):
    settings = ModelSettings(dimension=2)
    shapes_ = {name: cases.SHAPES[name] for name in names}
    model = cases.make_model(settings, shapes_)
    assert model(cases.make_rows(settings, shapes_)).shape == (5, 7)
    assert list(model.encoders) == list(names)


@pytest.mark.parametrize(
    ("settings", "given", "temperature", "says"),
    [
        (ModelSettings(), {}, 0.1, "at least one modality"),
        (ModelSettings(notes=True), {"image": (4,)}, 0.1, "Add text"),
        (ModelSettings(photos=True), {"text": (4,)}, 0.1, "Add image"),
        (ModelSettings(), {"text": (4,)}, 0.0, "above 0"),
        (ModelSettings(), {"text": (4,)}, float("nan"), "above 0"),
        (ModelSettings(), {"image": (3, 8, 8)}, 0.1, "image_encoder to cnn"),
        (ModelSettings(image_encoder="cnn"), {"image": (48,)}, 0.1, "pixels"),
        (ModelSettings(), {"text": (0,)}, 0.1, "a vector"),
        (ModelSettings(text_encoder="gru"), {"text": (4, 4)}, 0.1, "tokens"),
    ],
)
def test_what_cannot_be_built_is_refused(settings, given, temperature, says):
    with pytest.raises(ModelError, match=says):
        Recommender(settings, given, seed=0, temperature=temperature)


def test_features_that_do_not_fit_are_refused(model, rows):
    history = rows.history
    for values, says in (
        ({"text": history.values["text"][..., :3]}, "text do not fit"),
        ({"text": history.values["text"].long()}, "wrong kind"),
        ({"sound": history.values["text"]}, "without"),
    ):
        with pytest.raises(ModelError, match=says):
            model.encode_items(ItemBatch(values, history.present, history.mask))
    with pytest.raises(ModelError, match="presence mask"):
        model.encode_items(ItemBatch(history.values, {}, history.mask))


def test_tokens_outside_of_the_vocabulary_are_padding():
    settings = ModelSettings(dimension=8, text_encoder="textcnn")
    model = cases.make_model(settings, {"text": (6,)})
    batch = cases.make_batch(settings, {"text": (6,)}, 2, 3, torch.Generator().manual_seed(0))
    strange = batch.values["text"].clone()
    strange[strange == 0] = cases.VOCABULARY + 5
    assert torch.equal(
        model.encode_items(ItemBatch({"text": strange}, batch.present, batch.mask)), model.encode_items(batch)
    )


@pytest.mark.parametrize("kind", ["textcnn", "gru"])
def test_padding_behind_a_text_changes_nothing(kind):
    settings = ModelSettings(dimension=8, text_encoder=kind)
    short, long = (cases.make_model(settings, {"text": (length,)}, shaken=0.3) for length in (5, 9))
    words = torch.tensor([[[1, 0, 0, 0, 0], [4, 3, 2, 1, 6]]])
    there = torch.ones(1, 2, dtype=torch.bool)
    padded = torch.nn.functional.pad(words, (0, 4))
    one = short.encode_items(ItemBatch({"text": words}, {"text": there}, there))
    other = long.encode_items(ItemBatch({"text": padded}, {"text": there}, there))
    assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("kind", ["textcnn", "gru"])
def test_the_order_of_words_counts(kind):
    settings = ModelSettings(dimension=8, text_encoder=kind)
    model = cases.make_model(settings, {"text": (4,)})
    words = torch.tensor([[[1, 2, 3, 4], [4, 3, 2, 1]]])
    there = torch.ones(1, 2, dtype=torch.bool)
    one, other = model.encode_items(ItemBatch({"text": words}, {"text": there}, there))[0]
    assert (one - other).abs().max() > 1e-3


def test_pixels_as_bytes_and_as_parts_of_one_are_the_same_picture():
    settings = ModelSettings(dimension=8, image_encoder="cnn")
    model = cases.make_model(settings, {"image": cases.PIXELS})
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1, 4, *cases.PIXELS), generator=generator, dtype=torch.uint8)
    there = torch.ones(1, 4, dtype=torch.bool)
    whole = model.encode_items(ItemBatch({"image": pixels}, {"image": there}, there))
    parts = model.encode_items(ItemBatch({"image": pixels.float() / 255}, {"image": there}, there))
    assert torch.allclose(whole, parts, atol=1e-6)


def test_flat_vector_goes_round_and_names_its_parts(model):
    vector = flatten(model)
    assert vector.dtype == np.float32
    assert vector.shape == (count(model),)
    other = cases.make_model(SETTINGS, cases.SHAPES, seed=11)
    unflatten(other, vector)
    assert (flatten(other) == vector).all()
    parts = named_parts(model, vector)
    assert list(parts) == list(shared_parameters(model)) == list(shapes(model))
    for name, value in shared_parameters(model).items():
        assert (parts[name] == value.detach().numpy()).all()


def test_flat_vector_is_a_copy(model):
    vector = flatten(model)
    vector += 1.0
    assert (flatten(model) != vector).all()


@pytest.mark.parametrize("wrong", ["short", "long", "nan", "square"])
def test_a_bad_vector_is_refused_and_changes_nothing(model, wrong):
    before = flatten(model)
    bad = {
        "short": before[:-1],
        "long": np.append(before, 0.0),
        "nan": np.where(np.arange(len(before)) == 3, np.nan, before),
        "square": before[None],
    }[wrong]
    with pytest.raises(ModelError):
        unflatten(model, bad + 1)
    assert (flatten(model) == before).all()
    if wrong != "nan":
        with pytest.raises(ModelError):
            named_parts(model, bad)


def test_private_parameters_are_never_shared(model):
    assert not any(isinstance(module, Adapter) for module in model.modules())
    model.mistake = Adapter(torch.zeros(3, 8))
    with pytest.raises(ModelError, match="private"):
        flatten(model)


def test_rows_go_round_through_tensors(rows):
    with_targets = replace(rows, targets=torch.rand(5, 7))
    for given in (rows, with_targets, replace(rows, notes=None)):
        back = Rows.from_tensors(given.tensors(), given.positives)
        assert back.tensors().keys() == given.tensors().keys()
        assert all(torch.equal(value, back.tensors()[name]) for name, value in given.tensors().items())
    with pytest.raises(ModelError, match="history"):
        Rows.from_tensors({"candidate_mask": rows.candidate_mask}, 2)


def test_rows_select_and_convert(rows):
    part = replace(rows, targets=torch.rand(5, 7)).select(slice(1, 3)).to(torch.float64)
    assert part.rows == 2
    assert part.history.values["text"].dtype == part.targets.dtype == torch.float64
    assert part.history.mask.dtype == torch.bool
    assert torch.equal(part.candidates.values["image"].float(), rows.candidates.values["image"][1:3])
