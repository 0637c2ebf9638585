"""Edges of a knowledge graph, from the file to columns of the attribute encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedrec.content.attributes import AttributeEncoder
from fedrec.data.reader import read_dataset
from fedrec.data.relations import MOST_RELATIONS
from fedrec.data.schema import Skipped
from fedrec.errors import DataError

WriteDirectory = Callable[..., Path]
EDGES = """item,relation,value
a,grown_in,Spain
a,grown_in, Italy
b,made_by,Ann
a,genres,Sweet
a,genres,Red
d,grown_in,Spain
a,grown_in,Spain
z,grown_in,Spain
c,,Spain
"""


def test_edges_become_fields_and_bad_rows_are_recorded(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(write_directory(relations_csv=EDGES))
    a, b, c, d = dataset.items
    assert a.attributes == {"genres": ("Fruit", "Red", "Sweet"), "brand": ("Orchard",), "grown_in": ("Spain", "Italy")}
    assert b.attributes["made_by"] == ("Ann",) and d.attributes["grown_in"] == ("Spain",)
    assert c.attributes == {"genres": ("Dairy", "Hard"), "brand": ("Dale",)}
    assert [entry for entry in dataset.skipped if entry.file == "relations.csv"] == [
        Skipped("relations.csv", 8, "duplicate row"),
        Skipped("relations.csv", 9, "unknown item"),
        Skipped("relations.csv", 10, "missing cell"),
    ]


def test_items_that_share_an_edge_are_alike(write_directory: WriteDirectory) -> None:
    items = read_dataset(write_directory(relations_csv=EDGES)).items
    encoder = AttributeEncoder.fit(items)
    assert {"grown_in=Spain", "grown_in=Italy", "made_by=Ann", "genres=Sweet"} <= set(encoder.columns)
    block = [place for place, name in enumerate(encoder.columns) if name.startswith("grown_in=")]
    values = encoder.encode(items).values[:, block]
    assert values[[0, 3]].any(axis=1).all() and not values[[1, 2]].any()


def test_without_the_file_nothing_changes(write_directory: WriteDirectory) -> None:
    plain = read_dataset(write_directory()).items
    assert read_dataset(write_directory(relations_csv="item,relation,value\n")).items == plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item,value\na,b\n", "no column relation"),
        ("item,relation,value\nz,r,v\ny,r,v\na,r,v\n", "2 of 3 rows are unusable"),
        ("item,relation,value\n" + "".join(f"a,r{n},v\n" for n in range(MOST_RELATIONS + 1)), "more than 64 relations"),
    ],
)
def test_a_wrong_file_is_refused(text: str, said: str, write_directory: WriteDirectory) -> None:
    with pytest.raises(DataError, match=said):
        read_dataset(write_directory(relations_csv=text))
