"""Book-keeping: every layer's rows against plain autograd in float64, whatever the rows look like and where from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from training_worlds import small_features

from fedrec.config import from_tree
from fedrec.errors import ModelError
from fedrec.model import item_table
from fedrec.model.build import build_model
from fedrec.model.item_table import Looked
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import Recommender
from fedrec.model.rows import Rows
from fedrec.randomness import key
from fedrec.training.bookkeeping import Bookkeeper, rows_of
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.clipping import ClippedGradients
from fedrec.training.row_gradients import MARGIN
from fedrec.training.tables import Tables
from fedrec.users import Histories, UserBatch, keys_of

POOL = np.arange(0, 40, 3, dtype=np.int32)


class Several(nn.Module):
    """Every kind of use: an embedding, a layer used twice, one on vectors without items, one that is not used."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.twice = nn.Embedding(7, 5), nn.Linear(5, 5)
        self.last, self.unused = nn.Linear(5, 1, bias=False), nn.Linear(2, 2)

    def forward(self, places: Tensor) -> Tensor:
        seen = torch.tanh(self.twice(torch.tanh(self.twice(self.table(places)))))
        losses: Tensor = self.last(seen.mean(1)).squeeze(-1)
        return losses.square()


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 5), items=st.integers(1, 9), seed=st.integers(0, 99))
def test_each_layers_rows_are_those_of_plain_autograd(rows: int, items: int, seed: int) -> None:
    model = Several().double()
    places = torch.from_numpy(np.random.default_rng(seed).integers(0, 7, size=(rows, items)))
    keeper = Bookkeeper(model)
    assert keeper.knows(model)
    with keeper.noting() as uses:
        losses = model(places)
    found = rows_of(losses, uses, dict(model.named_parameters()))
    keeper.close()
    every = list(model.parameters())
    alone = [torch.autograd.grad(model(places)[row], every, allow_unused=True) for row in range(rows)]
    weights = torch.linspace(0.5, 2.0, rows, dtype=torch.float64)
    for value, gradient, samples in zip(model.parameters(), found, zip(*alone, strict=True), strict=True):
        dense = torch.stack([torch.zeros_like(value) if one is None else one for one in samples]).flatten(1)
        # A norm from factors may be larger, by what could cancel; never smaller.
        assert (gradient.norms() * (1 + MARGIN) >= dense.norm(dim=1)).all()
        torch.testing.assert_close(gradient.norms(), dense.norm(dim=1), rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(gradient.weighted_sum(weights), weights @ dense, rtol=1e-9, atol=1e-12)


def test_nothing_is_noted_outside_and_what_it_does_not_know_is_said() -> None:
    model = Several()
    keeper = Bookkeeper(model)
    with keeper.noting() as uses:
        pass
    model(torch.zeros((1, 1), dtype=torch.int64))
    assert not uses
    assert not Bookkeeper.knows(nn.Sequential(nn.Linear(1, 1), nn.LayerNorm(1)))
    assert not Bookkeeper.knows(nn.Embedding(3, 2, padding_idx=0))


def rows_and_model(lengths: list[int], settings_of_model: dict[str, object]) -> tuple[Rows, Recommender]:
    rng = np.random.default_rng(len(lengths))
    histories = Histories.of([rng.permutation(40)[:length] for length in lengths])
    people = UserBatch(histories, keys=keys_of([f"u{place}" for place in range(len(lengths))]))
    config = from_tree({"model": {"dimension": 4, **settings_of_model}})
    features = small_features()
    (rows,) = build_rows(people, Tables(features), POOL, RowShape(3, 7), key=key(0, "rows"), batch_rows=100)
    return rows, build_model(config, features)


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    bound=st.sampled_from([0.05, 300.0]),
    model=st.sampled_from(
        [
            {},
            {"fusion": "mean"},
            {"fusion": "late"},
            {"head_rank": 2},
            {"head_rank": 3, "head_bias": False},
            {"fusion": "gated", "user_tower": "attention"},
        ]
    ),
    whole=st.booleans(),
)
def test_items_that_are_looked_up_are_those_that_are_gathered(
    lengths: list[int], bound: float, model: dict[str, object], whole: bool
) -> None:
    kept, item_table.WHOLE = item_table.WHOLE, 65_536 if whole else 0  # type: ignore[misc]
    try:
        rows, looked = rows_and_model(lengths, model)
        gathered = rows.dense()
        assert rows.history.origin is not None
        assert gathered.history.origin is None
        torch.testing.assert_close(looked(rows), looked(gathered), rtol=1e-5, atol=1e-5)
        gradients = ClippedGradients(looked, lambda y, r: loss_per_row("bpr", y, r), bound, "bookkeeping")
        total, norms, loss = gradients(rows)
        expected, reach, lost = gradients(gathered)
        np.testing.assert_allclose(norms, reach, rtol=1e-4, atol=1e-6)
        assert np.linalg.norm(total - expected) <= 1e-5 * max(1.0, float(np.linalg.norm(expected)))
        assert abs(loss - lost) <= 1e-4 * max(1.0, abs(lost))
        assert np.linalg.norm(total) <= rows.rows * bound * (1 + 1e-9)
    finally:
        item_table.WHOLE = kept  # type: ignore[misc]


def test_batches_side_by_side_are_batches_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, model = rows_and_model([3, 9, 12, 4, 7, 2], {})
    gradients = ClippedGradients(model, lambda y, r: loss_per_row("bpr", y, r), 0.1, "bookkeeping")
    batches = [rows.select(slice(place, place + 1)) for place in range(rows.rows)]
    alone = [gradients(batch) for batch in batches]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for (total, norms, loss), expected in zip(gradients.sums(batches), alone, strict=True):
        np.testing.assert_array_equal(total, expected[0])
        np.testing.assert_array_equal(norms, expected[1])
        assert loss == expected[2]


def test_a_dense_layer_takes_what_was_looked_up_and_nothing_else_does() -> None:
    items = Looked(torch.randn(5, 3), torch.tensor([[0, 4, 1], [2, 2, 1]]), shared=1)
    layer = nn.Linear(3, 2)
    torch.testing.assert_close(layer(items), layer(items.gathered))
    with pytest.raises(TypeError):
        torch.relu(items)  # type: ignore[arg-type]


def test_a_batch_that_is_changed_is_no_longer_of_its_table() -> None:
    rows, model = rows_and_model([4, 5], {})
    with pytest.raises(ModelError, match="from a table"):
        replace(rows.history, present={})
    changed = replace(rows, history=replace(rows.history.dense(), mask=torch.zeros_like(rows.history.mask)))
    assert torch.isfinite(model(changed)).all()
