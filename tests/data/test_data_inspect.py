"""The figures of a data set, against counts made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fedrec.data.inspect import inspect
from fedrec.data.reader import read_dataset
from fedrec.data.schema import Interactions

WriteDirectory = Callable[..., Path]


def test_figures_of_a_small_set(write_directory: WriteDirectory) -> None:
    directory = write_directory(
        users_csv="user\nnew\n",
        notes_csv="user,text\nann,Hello\n",
        loo_99neg_csv="user,valid_item,test_item,negatives\nann,,b,c d\n",
    )
    (directory / "images").mkdir()
    (directory / "images/a.jpg").write_bytes(b"x")
    figures = inspect(read_dataset(directory))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert (figures["users"], figures["items"], figures["interactions"]) == (3, 4, 7)
    assert figures["density"] == 7 / 12
    assert (figures["users_without_events"], figures["items_without_events"]) == (1, 0)
    quantiles = figures["events_per_user"]
    assert (quantiles["min"], quantiles["median"], quantiles["max"]) == (0, 3, 4)
    coverage = figures["coverage"]
    assert (coverage["text"], coverage["image"], coverage["users_with_notes"]) == (0.75, 0.25, 1 / 3)
    assert coverage["attributes"] == {"brand": 0.5, "fit": 0.25, "genres": 1.0}
    assert figures["time"] == {"known": 1.0, "from": "1970-01-01T00:00:50+00:00", "to": "1970-01-01T00:05:00+00:00"}
    assert figures["rating"] == {"known": 1.0, "min": 1.0, "mean": 24 / 7, "max": 5.0}
    assert figures["evaluation"] == {
        "users_with_valid": 0, "users_with_test": 1, "negatives_per_user": 2.0, "negatives_met_by_their_user": 1,
    }  # fmt: skip
    assert figures["skipped"]["by_reason"] == {"items.csv: price is not a finite number, left out": 1}
    assert figures["skipped"]["first"] == ["items.csv:4: price is not a finite number, left out"]
    assert any("picture" in warning for warning in figures["warnings"])
    assert any("their user has met" in warning for warning in figures["warnings"])


def test_a_set_without_times_ratings_and_marks(write_directory: WriteDirectory) -> None:
    figures = inspect(read_dataset(write_directory(interactions_csv="user,item\nu,a\n")))
    assert figures["time"] == {"known": 0.0, "from": None, "to": None}
    assert (figures["rating"], figures["split"], figures["evaluation"]) == (None, None, None)
    assert any("no interaction has a timestamp" in warning for warning in figures["warnings"])
    assert any("1 users have fewer than 3 events" in warning for warning in figures["warnings"])


def test_skipped_files_of_a_folder_are_counted_together(write_directory: WriteDirectory) -> None:
    directory = write_directory()
    (directory / "images").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (directory / "images" / name).touch()
    assert inspect(read_dataset(directory))["skipped"]["by_reason"]["images: zero-byte picture"] == 3


def test_a_set_without_a_single_event(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(write_directory())
    table = dataset.interactions
    empty = Interactions(table.user[:0], table.item[:0], table.rating[:0], table.timestamp[:0], table.split[:0])
    figures = inspect(replace(dataset, users=(), items=(), interactions=empty))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert (figures["density"], figures["events_per_user"]) == (None, None)
