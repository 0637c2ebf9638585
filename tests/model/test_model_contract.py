"""What every encoder, fusion and user tower must keep: one suite, inherited by each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import model_cases as cases
import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule

from fedrec.config import ModelSettings
from fedrec.model.losses import loss_per_row
from fedrec.model.parameters import flatten, flatten_frozen
from fedrec.model.rows import ItemBatch, Rows
from fedrec.release.model_state import recommender, state_of

TEXT = {"textcnn": (6,), "gru": (5,), "lstm": (5,), "minilm-lora": (4, 64)}


def settings(fusion="weighted", text="head", image="head", tower="mean", audio="head", rank=0):
    return ModelSettings(
        dimension=8,
        fusion=fusion,
        text_encoder=text,
        image_encoder=image,
        audio_encoder=audio,
        head_rank=rank,
        lora_rank=3,
        user_tower=tower,
        notes=True,
        photos=True,
    )


def padded(batch, columns):
    """More items behind, not real, full of noise."""

    def longer(value):
        extra = value[:, :1].expand(-1, columns, *value.shape[2:])
        return torch.cat([value, torch.ones_like(extra)], 1)

    return ItemBatch(
        {name: longer(value) for name, value in batch.values.items()},
        {name: longer(value) for name, value in batch.present.items()},
        torch.cat([batch.mask, batch.mask.new_zeros((batch.rows, columns))], 1),
    )


def permuted(batch, order):
    return ItemBatch(
        {name: value[:, order] for name, value in batch.values.items()},
        {name: value[:, order] for name, value in batch.present.items()},
        batch.mask[:, order],
    )


def poisoned(batch):
    """Features that must not be read are made unreadable."""

    def bad(name, value):
        real = (batch.present[name] & batch.mask).reshape(*batch.mask.shape, *[1] * (value.ndim - 2))
        wrong = torch.full_like(value, float("nan")) if value.is_floating_point() else torch.full_like(value, 7)
        return torch.where(real, value, wrong)

    return ItemBatch({name: bad(name, value) for name, value in batch.values.items()}, batch.present, batch.mask)


def every_part(rows, change):
    return replace(
        rows,
        history=change(rows.history),
        notes=change(rows.notes),
        photos=change(rows.photos),
        candidates=change(rows.candidates),
    )


class Contract:
    """Subclasses name a fusion, encoders and a user tower; the model has been shaken, in double precision."""

    fusion, text, image, tower, audio = "weighted", "head", "head", "mean", None
    rank = 0
    reads_order = False
    beside: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @pytest.fixture
    def chosen(self):
        return settings(self.fusion, self.text, self.image, self.tower, self.audio or "head", self.rank)

    @pytest.fixture
    def shapes(self):
        shapes = {**cases.SHAPES, **self.beside}
        shapes["text"] = TEXT.get(self.text, shapes["text"])
        shapes["image"] = cases.PIXELS if self.image != "head" else shapes["image"]
        if self.audio:
            shapes["audio"] = cases.SPECTRA if self.audio == "cnn" else (3,)
        return shapes

    @pytest.fixture
    def model(self, chosen, shapes):
        return cases.make_model(chosen, shapes, shaken=0.3).double()

    @pytest.fixture
    def rows(self, chosen, shapes):
        return cases.make_rows(chosen, shapes).to(torch.float64)

    def test_shapes_and_lengths(self, model, rows):
        assert model(rows).shape == (5, 7)
        items = model.encode_items(rows.history)
        assert items.shape == (5, 4, model.dimension)
        seen = torch.stack([rows.history.present[name] for name in model.modalities]).any(0) & rows.history.mask
        assert torch.allclose(items.norm(dim=-1)[seen], torch.ones((), dtype=torch.float64), atol=1e-3)
        assert not items[~seen].any()

    def test_a_row_sees_only_itself(self, model, rows):
        whole = model(rows)
        for i in range(rows.rows):
            assert torch.allclose(model(rows.select(slice(i, i + 1)))[0], whole[i], atol=1e-12)

    def test_missing_features_are_never_read(self, model, rows):
        wrong = every_part(rows, poisoned)
        assert torch.equal(model(wrong), model(rows))
        for name, value in cases.brute_force(model, wrong).items():
            assert torch.isfinite(value).all(), name

    def test_a_missing_modality_is_not_a_zero_vector(self, model, rows):
        hidden = replace(rows.candidates, present={**rows.candidates.present})
        hidden.present["text"] = torch.zeros_like(hidden.mask)
        there = rows.candidates.present["text"] & rows.candidates.mask & rows.history.mask.any(1, keepdim=True)
        changed = model(replace(rows, candidates=hidden)) != model(rows)
        assert changed[there].all()
        assert not changed[~(rows.candidates.present["text"] & rows.candidates.mask)].any()

    def test_padding_changes_nothing(self, model, rows):
        longer = every_part(rows, lambda part: padded(part, 3))
        before = permuted(longer.history, torch.tensor([6, 4, 0, 1, 5, 2, 3]))
        mask = torch.cat([rows.candidate_mask, rows.candidate_mask.new_zeros((5, 3))], 1)
        longer = replace(longer, candidate_mask=mask)
        expected = model(rows)
        found = model(longer)
        assert torch.allclose(found[:, :7], expected, atol=1e-12)
        assert torch.allclose(model(replace(longer, history=before)), found, atol=1e-12)
        losses = [loss_per_row("sampled-softmax", logits, of) for logits, of in ((found, longer), (expected, rows))]
        assert torch.allclose(*losses, atol=1e-12)

    def test_order_of_items_does_not_matter(self, model, rows):
        order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
        moved = model(replace(rows, candidates=permuted(rows.candidates, order)))
        assert torch.allclose(moved, model(rows)[:, order], atol=1e-12)
        back = replace(rows, history=permuted(rows.history, torch.tensor([2, 0, 3, 1])))
        same = torch.isclose(model(back), model(rows), rtol=0, atol=1e-12).all(1)
        assert same[~rows.history.mask.any(1)].all()
        assert not same[rows.history.mask.sum(1) > 1].any() if self.reads_order else same.all()

    def test_a_user_of_whom_nothing_is_known_scores_everything_alike(self, model, rows):
        assert model(rows)[0].unique().numel() == 1
        assert model(rows)[4].unique().numel() > 1

    @pytest.mark.parametrize("shaken", [0.0, 0.3])
    def test_every_parameter_learns_and_idle_rows_do_not(self, chosen, shapes, rows, shaken):
        model = cases.make_model(chosen, shapes, shaken=shaken).double()
        for name, value in cases.brute_force(model, rows, "bce").items():
            assert torch.isfinite(value).all(), name
            assert value.abs().sum() > 0, name
            assert not value[1].any(), f"{name}: a row without positives has a gradient"

    def test_functional_gradients_are_the_rows_own(self, model, rows):
        expected = cases.brute_force(model, rows)
        values = {name: value.detach() for name, value in model.named_parameters()}

        def loss(values, tensors):
            row = Rows.from_row(tensors, rows.positives)
            return loss_per_row("sampled-softmax", torch.func.functional_call(model, values, (row,)), row).sum()

        found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(values, rows.tensors())
        for name, value in expected.items():
            assert torch.allclose(found[name], value, rtol=1e-7, atol=1e-9), name

    @pytest.mark.filterwarnings("ignore")
    def test_hooks_give_the_rows_own_gradients(self, model, rows):
        if model.flattens_rows:
            pytest.skip("this encoder folds items into the batch")
        expected = cases.brute_force(model, rows)
        hooked = GradSampleModule(model, batch_first=True, loss_reduction="sum", strict=True)
        for _ in range(2):
            hooked.zero_grad()
            loss_per_row("sampled-softmax", hooked(rows), rows).sum().backward()
            for name, value in expected.items():
                found = dict(model.named_parameters())[name].grad_sample
                assert torch.allclose(found, value, rtol=1e-7, atol=1e-9), name

    def test_state_goes_round(self, chosen, shapes, model, rows):
        other = cases.make_model(chosen, shapes, seed=9).double()
        assert not torch.equal(other(rows), model(rows))
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(rows), model(rows))

    def test_a_release_ranks_as_the_model_does(self, chosen, shapes, rows):
        model = cases.make_model(chosen, shapes, shaken=0.3)
        released = recommender(state_of(model, vocabulary=cases.VOCABULARY))
        given = rows.to(torch.float32)
        assert torch.equal(released(given), model(given))
        assert not torch.equal(cases.make_model(chosen, shapes)(given), model(given))

    def test_the_seed_fixes_the_start_and_no_global_state_is_touched(self, chosen, shapes):
        before = torch.get_rng_state()
        one, same, other = (cases.make_model(chosen, shapes, seed=seed) for seed in (1, 1, 2))
        assert torch.equal(before, torch.get_rng_state())
        one, same, other = (np.concatenate([flatten(model), flatten_frozen(model)]) for model in (one, same, other))
        assert (one == same).all()
        assert (one != other).any()


class TestHeadsMean(Contract):
    fusion = "mean"


class TestHeadsWeighted(Contract):
    fusion = "weighted"


class TestHeadsConcat(Contract):
    fusion = "concat-mlp"


class TestHeadsGated(Contract):
    fusion = "gated"


class TestHeadsAttention(Contract):
    fusion = "attention"


class TestTextCNN(Contract):
    text = "textcnn"


class TestTextGRU(Contract):
    text = "gru"


class TestSmallCNN(Contract):
    image = "cnn"


class TestFromScratchGated(Contract):
    fusion, text, image = "gated", "textcnn", "cnn"


class TestHeadsMax(Contract):
    fusion = "max"


class TestHeadsLate(Contract):
    fusion = "late"


class TestHeadsCrossAttention(Contract):
    fusion = "cross-attention"


class TestHeadsMixture(Contract):
    fusion = "mixture"


class TestTextLSTM(Contract):
    text = "lstm"


class TestSmallVGG(Contract):
    image = "vgg"


class TestUserRecency(Contract):
    tower, reads_order = "recency", True


class TestUserGRU(Contract):
    tower, reads_order = "gru", True


class TestUserAttention(Contract):
    tower, reads_order = "attention", True


class TestLateGRU(Contract):
    fusion, tower, reads_order = "late", "gru", True


class TestDeepest(Contract):
    fusion, text, image, tower, reads_order = "cross-attention", "lstm", "vgg", "attention", True


BESIDE = MappingProxyType({"behaviour": (3,), "id": (1,)})


class TestBehaviourAndIds(Contract):
    beside = BESIDE


class TestBehaviourAndIdsLate(Contract):
    fusion, beside = "late", BESIDE


class TestBehaviourAndIdsAttention(Contract):
    fusion, tower, reads_order, beside = "cross-attention", "gru", True, BESIDE


class TestBehaviourAndIdsGated(Contract):
    fusion, text, image, beside = "gated", "textcnn", "cnn", BESIDE
