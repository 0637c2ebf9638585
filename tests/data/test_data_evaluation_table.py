"""The file of held-out items and negatives: its good rows become places, and the bad ones are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fedrec.data.reader import read_dataset
from fedrec.data.schema import Skipped

if TYPE_CHECKING:
    from conftest import WriteDirectory


LOO = "user,valid_item,test_item,negatives\n"


def test_an_evaluation_file_becomes_places(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(write_directory(loo_99neg_csv=LOO + "bob,b,d,c a\nann,,c,d\n"))
    assert dataset.evaluation is not None
    assert dataset.evaluation.valid.tolist() == [-1, 1]
    assert dataset.evaluation.test.tolist() == [2, 3]
    assert dataset.evaluation.negatives.tolist() == [[3, -1], [2, 0]]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("zoe,a,b,c", "unknown user"),
        ("new,a,b,c", "user has no interactions"),
        ("ann,a,b,c", "duplicate row"),
        ("bob,x,b,c", "unknown item"),
        ("bob,a,x,c", "unknown item"),
        ("bob,a,a,c", "valid and test are the same item"),
        ("bob,,,c", "missing cell"),
    ],
)
def test_a_bad_evaluation_row_is_recorded(write_directory: WriteDirectory, bad: str, reason: str) -> None:
    directory = write_directory(users_csv="user\nnew\n", loo_99neg_csv=LOO + "ann,a,b,c\n" + bad + "\n")
    dataset = read_dataset(directory)
    assert dataset.skipped[-1] == Skipped("loo_99neg.csv", 3, reason)
    assert dataset.evaluation is not None
    assert dataset.evaluation.test.tolist() == [1, -1, -1]


def test_bad_negatives_are_dropped_one_by_one(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(write_directory(loo_99neg_csv=LOO + "ann,a,b,c nowhere a b c d\n"))
    assert dataset.evaluation is not None
    assert dataset.evaluation.negatives.tolist() == [[2, 3], [-1, -1]]
    assert [entry.reason.split(",")[0] for entry in dataset.skipped[1:]] == [
        "unknown item among the negatives",
        "held-out item among its own negatives",
        "held-out item among its own negatives",
        "repeated negative",
    ]


def test_at_most_99_negatives(write_directory: WriteDirectory) -> None:
    items = "item,title\n" + "".join(f"i{k},T\n" for k in range(103))
    negatives = " ".join(f"i{k}" for k in range(2, 103))
    dataset = read_dataset(
        write_directory(
            items_csv=items, interactions_csv="user,item\nu,i0\n", loo_99neg_csv=LOO + f"u,i0,i1,{negatives}\n"
        )
    )
    assert dataset.evaluation is not None
    assert dataset.evaluation.negatives.tolist() == [list(range(2, 101))]
    assert [entry.reason for entry in dataset.skipped] == ["more than 99 negatives, the rest dropped"]
