"""The tables that opened sums add to the items' features: what they hold, who has none, and what a device accepts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedrec.collaborative import item_tables
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config, from_tree
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError, ProtocolError

ITEMS, RANK, COLUMNS, NEIGHBOURS = 9, 5, 3, 2


def config(**sections: dict[str, Any]) -> Config:
    collaborative = {"feature_columns": COLUMNS} | sections.pop("collaborative", {})
    model = {"graph": "cooccurrence", "graph_neighbours": NEIGHBOURS} | sections.pop("model", {})
    return from_tree({"collaborative": collaborative, "model": model, **sections})


def factors(seed: int = 0, rank: int = RANK) -> CollaborativeFactors:
    rng = np.random.default_rng(seed)
    history = rng.normal(size=(ITEMS, rank)).astype(np.float32)
    return CollaborativeFactors(history, history, np.arange(ITEMS, dtype=np.float32))


def features() -> Features:
    rng = np.random.default_rng(1)
    text = rng.normal(size=(ITEMS, 4)).astype(np.float32)
    ids = tuple(f"i{place}" for place in range(ITEMS))
    return Features(ids, ids, {"text": text}, {"text": np.arange(ITEMS) != 4})


def test_the_leading_columns_keep_the_tables_cosines_best() -> None:
    table = factors(rank=COLUMNS)
    made = item_tables.tables_of(config(), table, 0.0)[item_tables.FACTORS].astype(np.float64)
    unit = table.history[1:] / np.linalg.norm(table.history[1:], axis=1, keepdims=True)
    # As many columns as the table has rank: nothing of the cosines is lost but half floats' rounding.
    np.testing.assert_allclose(made[1:, :-1] @ made[1:, :-1].T, unit @ unit.T, atol=3e-3)
    told = made[1:, -1]
    assert told.mean() == pytest.approx(0, abs=1e-3)
    assert told.std() == pytest.approx(0.5, abs=1e-3)
    assert (np.diff(told) > 0).all()


def test_fewer_columns_are_the_leading_ones() -> None:
    """Where the cosines of items, each repeated as often as it is used, have their largest eigenvalues."""
    table = factors(seed=3)
    made = item_tables.tables_of(config(), table, 0.0)[item_tables.FACTORS][1:, :-1].astype(np.float64)
    unit = (table.history / np.linalg.norm(table.history, axis=1, keepdims=True))[1:]
    repeated = np.repeat(unit, np.arange(1, ITEMS), axis=0)
    directions = np.linalg.svd(repeated)[2][:COLUMNS]
    strong = unit @ directions.T
    strong /= np.linalg.norm(strong, axis=1, keepdims=True)
    np.testing.assert_allclose(made @ made.T, strong @ strong.T, atol=3e-3)


def test_a_table_of_lower_rank_leaves_columns_empty() -> None:
    made = item_tables.tables_of(config(), factors(rank=1), 0.0)[item_tables.FACTORS]
    assert made.shape == (ITEMS, COLUMNS + 1)
    assert not made[:, 1:-1].any()
    assert made[1:, 0].all()


@pytest.mark.parametrize(("deviation", "unused"), [(0.0, 1), (1.0, 3), (1.6, 4)])
def test_an_item_within_the_noise_has_neither_the_modality_nor_edges(deviation: float, unused: int) -> None:
    settings = config()
    tables = item_tables.tables_of(settings, factors(), deviation)
    assert tables[item_tables.FACTORS].any(axis=1).tolist() == [False] * unused + [True] * (ITEMS - unused)
    neighbours = tables[item_tables.NEIGHBOURS]
    assert (neighbours[:unused] == -1).all()
    assert not np.isin(neighbours, np.arange(unused)).any()
    read = item_tables.extended(settings, features(), tables)
    assert read.present["behaviour"].tolist() == [False] * unused + [True] * (ITEMS - unused)
    assert not read.values["behaviour"][:unused].any()


def test_what_an_unused_item_is_said_to_be_changes_no_other_item() -> None:
    table = factors()
    other = table.history.copy()
    other[:3] = 100.0
    before = item_tables.tables_of(config(), table, 1.0)
    after = item_tables.tables_of(config(), CollaborativeFactors(other, other, table.popularity), 1.0)
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_settings_that_ask_for_nothing_change_nothing() -> None:
    given = features()
    assert item_tables.names(Config()) == ()
    assert item_tables.extended(Config(), given, {}) is given
    assert item_tables.names(config(model={"tower": False})) == ()


def test_ids_are_places_and_are_not_smoothed() -> None:
    settings = config(model={"id_embedding": True, "graph": "both"})
    read = item_tables.extended(settings, features(), item_tables.tables_of(settings, factors(), 0.0))
    assert tuple(read.values) == ("text", "behaviour", "id")
    assert read.values["id"].ravel().tolist() == list(range(ITEMS))
    assert read.present["id"].all()
    assert not np.allclose(read.values["text"], features().values["text"])


@pytest.mark.parametrize("kind", ["content", "cooccurrence", "both"])
def test_features_are_smoothed_on_the_graph_asked_for(kind: str) -> None:
    settings = config(model={"graph": kind, "graph_layers": 1}, collaborative={"feature_columns": 0})
    tables = item_tables.tables_of(settings, factors(), 0.0)
    assert (item_tables.NEIGHBOURS in tables) == (kind != "content")
    read = item_tables.extended(settings, features(), tables)
    # What text an item has after one step: its own and its neighbours'. Wiping another item out tells which they are.
    wiped = features()
    wiped.values["text"][7] = 0
    heard = item_tables.extended(settings, wiped, tables)
    changed = np.flatnonzero((heard.values["text"] != read.values["text"]).any(axis=1))
    assert 7 in changed
    if kind == "cooccurrence":
        near = tables[item_tables.NEIGHBOURS]
        edges = {*near[7], *np.flatnonzero((near == 7).any(axis=1))} - {-1, 4}
        assert set(changed.tolist()) == edges | {7}


def test_what_the_settings_lead_to_is_agreed() -> None:
    tables = item_tables.tables_of(config(), factors(), 0.0)
    found = item_tables.agreed(config(), {**tables, "parameters": np.zeros(3)}, ITEMS)
    assert set(found) == {item_tables.FACTORS, item_tables.NEIGHBOURS}


@pytest.mark.parametrize(
    "change",
    [
        lambda tables: tables.pop(item_tables.FACTORS),
        lambda tables: tables.update({item_tables.FACTORS: tables[item_tables.FACTORS][:, 1:]}),
        lambda tables: tables.update({item_tables.FACTORS: tables[item_tables.FACTORS][1:]}),
        lambda tables: tables.update({item_tables.FACTORS: tables[item_tables.FACTORS].astype(np.float32)}),
        lambda tables: tables[item_tables.FACTORS].fill(np.nan),
        lambda tables: tables[item_tables.NEIGHBOURS].fill(ITEMS),
        lambda tables: tables[item_tables.NEIGHBOURS].fill(-2),
    ],
)
def test_a_device_refuses_other_tables(change: Any) -> None:
    tables = item_tables.tables_of(config(), factors(), 0.0)
    change(tables)
    with pytest.raises(ProtocolError):
        item_tables.agreed(config(), tables, ITEMS)


@pytest.mark.parametrize(
    "tree",
    [
        {"collaborative": {"feature_columns": 4, "popularity": False}},
        {"collaborative": {"feature_columns": 4, "cooccurrence": {"enabled": False}}},
        {"collaborative": {"cooccurrence": {"enabled": False}}, "model": {"graph": "both"}},
        {"model": {"reads": ["behaviour"]}},
        {"model": {"reads": ["id"]}},
        {"model": {"reads": ["text"], "id_embedding": True}},
    ],
)
def test_settings_that_cannot_be_met_are_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        from_tree(tree)
