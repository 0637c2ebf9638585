"""What every item encoder, fusion and user tower owes: one suite, inherited for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule
from torch import Tensor

from fedrec.config import ModelSettings
from fedrec.model.losses import loss_per_row
from fedrec.model.parameters import flatten, flatten_frozen
from fedrec.model.recommender import Recommender
from fedrec.model.registry import FUSIONS, USER_TOWERS
from fedrec.model.rows import ItemBatch, Rows
from fedrec.release.model_state import recommender, state_of
from fedrec.testing import model_cases as cases

Shapes = Mapping[str, tuple[int, ...]]
_TEXT: Shapes = MappingProxyType({"textcnn": (6,), "gru": (5,), "lstm": (5,), "minilm-lora": (4, 64)})


def padded(batch: ItemBatch, columns: int) -> ItemBatch:
    """More items behind, not real, full of noise."""

    def longer(value: Tensor) -> Tensor:
        extra = value[:, :1].expand(-1, columns, *value.shape[2:])
        return torch.cat([value, torch.ones_like(extra)], 1)

    return ItemBatch(
        {name: longer(value) for name, value in batch.values.items()},
        {name: longer(value) for name, value in batch.present.items()},
        torch.cat([batch.mask, batch.mask.new_zeros((batch.rows, columns))], 1),
    )


def permuted(batch: ItemBatch, order: Tensor) -> ItemBatch:
    """The same items in another order."""
    return ItemBatch(
        {name: value[:, order] for name, value in batch.values.items()},
        {name: value[:, order] for name, value in batch.present.items()},
        batch.mask[:, order],
    )


def poisoned(batch: ItemBatch) -> ItemBatch:
    """Features that must not be read are made unreadable."""

    def bad(name: str, value: Tensor) -> Tensor:
        real = (batch.present[name] & batch.mask).reshape(*batch.mask.shape, *[1] * (value.ndim - 2))
        wrong = torch.full_like(value, float("nan")) if value.is_floating_point() else torch.full_like(value, 7)
        return torch.where(real, value, wrong)

    return ItemBatch({name: bad(name, value) for name, value in batch.values.items()}, batch.present, batch.mask)


def every_part(rows: Rows, change: Callable[[ItemBatch], ItemBatch]) -> Rows:
    """Rows in which all items are changed."""
    assert rows.notes is not None and rows.photos is not None
    return replace(
        rows,
        history=change(rows.history),
        notes=change(rows.notes),
        photos=change(rows.photos),
        candidates=change(rows.candidates),
    )


class ModelContract:
    """What parts of the model owe, as tests of a small model that is made of them.

        class TestMine(ModelContract):
            fusion = "mine"

    Rows see only themselves, under hooks and under ``torch.func``; what is missing is never read; padding and, but for
    towers that read it, order change nothing; every parameter learns; a release ranks as the model does; the seed fixes
    the start, and no global random state is touched.

    Args:
        fusion, text, image, audio, tower: names of registered parts; ``audio`` None = no such modality.
        rank: ``model.head_rank``.
        text_shape, image_shape, audio_shape: of one item's features, for an encoder from outside; None = as what is
            built in reads them.
        beside: further modalities, to the shape of their features.

    The model has been shaken, so that no zero start hides a mistake, and is in double precision.
    """

    fusion: ClassVar[str] = "weighted"
    text: ClassVar[str] = "head"
    image: ClassVar[str] = "head"
    audio: ClassVar[str | None] = None
    tower: ClassVar[str] = "mean"
    rank: ClassVar[int] = 0
    text_shape: ClassVar[tuple[int, ...] | None] = None
    image_shape: ClassVar[tuple[int, ...] | None] = None
    audio_shape: ClassVar[tuple[int, ...] | None] = None
    beside: ClassVar[Shapes] = MappingProxyType({})

    @pytest.fixture
    def chosen(self) -> ModelSettings:
        return ModelSettings(
            dimension=8,
            fusion=self.fusion,
            text_encoder=self.text,
            image_encoder=self.image,
            audio_encoder=self.audio or "head",
            head_rank=self.rank,
            lora_rank=3,
            user_tower=self.tower,
            notes=True,
            photos=True,
        )

    @pytest.fixture
    def shapes(self) -> Shapes:
        shapes = {**cases.SHAPES, **self.beside}
        shapes["text"] = self.text_shape or _TEXT.get(self.text, shapes["text"])
        shapes["image"] = self.image_shape or (shapes["image"] if self.image == "head" else cases.PIXELS)
        if self.audio:
            shapes["audio"] = self.audio_shape or ((3,) if self.audio == "head" else cases.SPECTRA)
        return shapes

    @pytest.fixture
    def model(self, chosen: ModelSettings, shapes: Shapes) -> Recommender:
        return cases.make_model(chosen, shapes, shaken=0.3).double()

    @pytest.fixture
    def rows(self, chosen: ModelSettings, shapes: Shapes) -> Rows:
        return cases.make_rows(chosen, shapes).to(torch.float64)

    def test_shapes_and_lengths(self, model: Recommender, rows: Rows) -> None:
        assert model(rows).shape == (5, 7)
        items = model.encode_items(rows.history)
        assert items.shape == (5, 4, model.dimension)
        seen = torch.stack([rows.history.present[name] for name in model.modalities]).any(0) & rows.history.mask
        assert torch.allclose(items.norm(dim=-1)[seen], torch.ones((), dtype=torch.float64), atol=1e-3)
        assert not items[~seen].any()

    def test_a_row_sees_only_itself(self, model: Recommender, rows: Rows) -> None:
        whole = model(rows)
        for i in range(rows.rows):
            assert torch.allclose(model(rows.select(slice(i, i + 1)))[0], whole[i], atol=1e-12)

    def test_missing_features_are_never_read(self, model: Recommender, rows: Rows) -> None:
        wrong = every_part(rows, poisoned)
        assert torch.equal(model(wrong), model(rows))
        for name, value in cases.brute_force(model, wrong).items():
            assert torch.isfinite(value).all(), name

    def test_a_missing_modality_is_not_a_zero_vector(self, model: Recommender, rows: Rows) -> None:
        present = {**rows.candidates.present, "text": torch.zeros_like(rows.candidates.mask)}
        hidden = replace(rows.candidates, present=present)
        there = rows.candidates.present["text"] & rows.candidates.mask & rows.history.mask.any(1, keepdim=True)
        changed = model(replace(rows, candidates=hidden)) != model(rows)
        assert changed[there].all()
        assert not changed[~(rows.candidates.present["text"] & rows.candidates.mask)].any()

    def test_padding_changes_nothing(self, model: Recommender, rows: Rows) -> None:
        longer = every_part(rows, lambda part: padded(part, 3))
        before = permuted(longer.history, torch.tensor([6, 4, 0, 1, 5, 2, 3]))
        mask = torch.cat([rows.candidate_mask, rows.candidate_mask.new_zeros((5, 3))], 1)
        longer = replace(longer, candidate_mask=mask)
        expected = model(rows)
        found = model(longer)
        assert torch.allclose(found[:, :7], expected, atol=1e-12)
        assert torch.allclose(model(replace(longer, history=before)), found, atol=1e-12)
        one, other = (loss_per_row("sampled-softmax", logits, of) for logits, of in ((found, longer), (expected, rows)))
        assert torch.allclose(one, other, atol=1e-12)

    def test_order_of_items_does_not_matter(self, model: Recommender, rows: Rows) -> None:
        order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
        moved = model(replace(rows, candidates=permuted(rows.candidates, order)))
        assert torch.allclose(moved, model(rows)[:, order], atol=1e-12)
        back = replace(rows, history=permuted(rows.history, torch.tensor([2, 0, 3, 1])))
        same = torch.isclose(model(back), model(rows), rtol=0, atol=1e-12).all(1)
        assert same[~rows.history.mask.any(1)].all()
        assert not same[rows.history.mask.sum(1) > 1].any() if USER_TOWERS[self.tower].reads_order else same.all()

    def test_a_user_of_whom_nothing_is_known_scores_everything_alike(self, model: Recommender, rows: Rows) -> None:
        assert model(rows)[0].unique().numel() == 1
        assert model(rows)[4].unique().numel() > 1

    @pytest.mark.parametrize("shaken", [0.0, 0.3])
    def test_every_parameter_learns_and_idle_rows_do_not(
        self, chosen: ModelSettings, shapes: Shapes, rows: Rows, shaken: float
    ) -> None:
        model = cases.make_model(chosen, shapes, shaken=shaken).double()
        for name, value in cases.brute_force(model, rows, "bce").items():
            assert torch.isfinite(value).all(), name
            assert value.abs().sum() > 0, name
            assert not value[1].any(), f"{name}: a row without positives has a gradient"

    def test_functional_gradients_are_the_rows_own(self, model: Recommender, rows: Rows) -> None:
        expected = cases.brute_force(model, rows)
        values = {name: value.detach() for name, value in model.named_parameters()}

        def loss(values: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
            row = Rows.from_row(tensors, rows.positives)
            return loss_per_row("sampled-softmax", torch.func.functional_call(model, values, (row,)), row).sum()

        found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(values, rows.tensors())
        for name, value in expected.items():
            assert torch.allclose(found[name], value, rtol=1e-7, atol=1e-9), name

    @pytest.mark.filterwarnings("ignore")
    def test_hooks_give_the_rows_own_gradients(self, model: Recommender, rows: Rows) -> None:
        if model.flattens_rows:
            pytest.skip("this encoder folds items into the batch")
        expected = cases.brute_force(model, rows)
        hooked = GradSampleModule(model, batch_first=True, loss_reduction="sum", strict=True)
        for _ in range(2):
            hooked.zero_grad()
            torch.autograd.backward(loss_per_row("sampled-softmax", hooked(rows), rows).sum())
            for name, value in expected.items():
                found = getattr(dict(model.named_parameters())[name], "grad_sample")  # noqa: B009 - Opacus puts it there
                assert torch.allclose(found, value, rtol=1e-7, atol=1e-9), name

    def test_state_goes_round(self, chosen: ModelSettings, shapes: Shapes, model: Recommender, rows: Rows) -> None:
        other = cases.make_model(chosen, shapes, seed=9).double()
        assert not torch.equal(other(rows), model(rows))
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(rows), model(rows))

    def test_a_release_ranks_as_the_model_does(self, chosen: ModelSettings, shapes: Shapes, rows: Rows) -> None:
        model = cases.make_model(chosen, shapes, shaken=0.3)
        released = recommender(state_of(model, vocabulary=cases.VOCABULARY))
        given = rows.to(torch.float32)
        assert torch.equal(released(given), model(given))
        assert not torch.equal(cases.make_model(chosen, shapes)(given), model(given))

    def test_the_seed_fixes_the_start_and_no_global_state_is_touched(
        self, chosen: ModelSettings, shapes: Shapes
    ) -> None:
        before = torch.get_rng_state()
        models = [cases.make_model(chosen, shapes, seed=seed) for seed in (1, 1, 2)]
        assert torch.equal(before, torch.get_rng_state())
        one, same, other = (np.concatenate([flatten(model), flatten_frozen(model)]) for model in models)
        assert (one == same).all()
        assert (one != other).any()


class FusionContract(ModelContract):
    """What a fusion owes: as a part of a model, and by itself.

    Set ``fusion``; and ``starts_as_mean`` to False where an untrained one is a usable fusion of another kind.
    """

    starts_as_mean: ClassVar[bool] = True

    def fused(self, vectors: Tensor, present: Tensor, seed: int = 5) -> Tensor:
        """What a new one, in double precision, gives for vectors [rows, items, k, d]."""
        modalities, dimension = vectors.shape[2:]
        part = FUSIONS[self.fusion].build(modalities, dimension, torch.Generator().manual_seed(seed)).double()
        found: Tensor = part(vectors, present)
        return found.detach()

    @pytest.fixture
    def given(self) -> tuple[Tensor, Tensor]:
        """Unit vectors [2, 6, 3, 8] and which are there: in every pattern, items with none among them."""
        generator = torch.Generator().manual_seed(2)
        vectors = torch.nn.functional.normalize(torch.randn((2, 6, 3, 8), generator=generator).double(), dim=-1)
        present = torch.rand((2, 6, 3), generator=generator) > 0.4
        present[0, 0], present[1, 1] = False, True
        return vectors, present

    def test_a_fused_vector_is_as_long_as_promised(self, given: tuple[Tensor, Tensor]) -> None:
        vectors, present = given
        assert self.fused(vectors, present).shape == (2, 6, FUSIONS[self.fusion].width(3, 8))

    def test_an_item_is_fused_from_itself(self, given: tuple[Tensor, Tensor]) -> None:
        vectors, present = given
        whole = self.fused(vectors, present)
        for row in range(2):
            for item in range(6):
                alone = self.fused(vectors[row : row + 1, item : item + 1], present[row : row + 1, item : item + 1])
                assert torch.allclose(alone[0, 0], whole[row, item], atol=1e-12), "another item or row is mixed in"

    def test_what_is_missing_is_not_read_and_nothing_is_zero(self, given: tuple[Tensor, Tensor]) -> None:
        vectors, present = given
        whole = self.fused(vectors, present)
        assert torch.isfinite(whole).all()
        assert not whole[~present.any(-1)].any()
        # Of an item whose first modality is gone, that modality's vector must not matter.
        other = torch.where(present.unsqueeze(-1), vectors, -7.0 * vectors)
        assert torch.equal(self.fused(other, present), whole)

    def test_it_starts_near_the_mean(self, given: tuple[Tensor, Tensor]) -> None:
        if not self.starts_as_mean:
            pytest.skip("this fusion starts as another one")
        vectors, present = given
        there = present.unsqueeze(-1).double()
        mean = (vectors * there).sum(2) / there.sum(2).clamp(min=1.0)
        assert (self.fused(vectors, present) - mean).norm(dim=-1).max() < 0.5
