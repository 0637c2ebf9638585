"""Every registered query is held to the contract of queries, and none can be left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fedrec.queries.registry import QUERIES
from fedrec.testing.queries import QueryContract

COOCCURRENCE = {"collaborative": {"popularity": True, "cooccurrence": {"enabled": True}}}
POWER_ITERATION = {
    "collaborative": {
        "popularity": True,
        "power_iteration": {"enabled": True, "steps": 2, "rank": 4, "item_weighting": 0.3},
        "prior": {"weight": 0.5, "modalities": {"text": 0.5, "attributes": 0.5}},
    }
}
SELECTION = {
    "collaborative": {
        **POWER_ITERATION["collaborative"],
        "selection": {
            "candidates": {
                "plain": {},
                "heavy": {"solver": {"ridge": 40.0}, "scoring": {"weight": 0.9}},
                "folded": {"fold_in": {"rank": 4}, "scoring": {"recency": 1.0}},
                "popularity": {"scoring": {"personal": False, "popularity_weight": 1.0}},
            },
            "default": "plain",
            "content_columns": 6,
        },
    }
}
SELECTION_OF_COOCCURRENCE = {
    "collaborative": {
        "popularity": True,
        "cooccurrence": {"enabled": True},
        "prior": {"weight": 0.5, "modalities": {"text": 1.0}},
        "selection": {
            "candidates": {
                "plain": {},
                "light": {"prior": {"weight": 0.1}},
                "cosine": {"solver": {"method": "cosine"}},
            },
            "default": "plain",
        },
    },
    "model": {"tower": True},
    "evaluation": {"private_metrics": True},
}
STOPPING = {"training": {"stopping": {"every": 1, "patience": 9}}}


class TestPopularity(QueryContract):
    query = "popularity"
    settings: ClassVar[Mapping[str, Any]] = {"collaborative": {"popularity": True}}


class TestPopularityInBuckets(QueryContract):
    query = "popularity"
    settings: ClassVar[Mapping[str, Any]] = {"collaborative": {"popularity": True, "popularity_buckets": 16}}
    units = ("user",)


class TestCensus(QueryContract):
    query = "census"
    settings: ClassVar[Mapping[str, Any]] = {"queries": {"census": {"values": 4}}}


class TestCooccurrence(QueryContract):
    query = "cooccurrence"
    settings: ClassVar[Mapping[str, Any]] = COOCCURRENCE


class TestRatings(QueryContract):
    query = "ratings"
    settings: ClassVar[Mapping[str, Any]] = {"collaborative": {"ratings": {"predict": True}}}
    units = ("user",)


class TestDirections(QueryContract):
    query = "directions"
    settings: ClassVar[Mapping[str, Any]] = POWER_ITERATION
    units = ("user",)


class TestFactors(QueryContract):
    query = "factors"
    settings: ClassVar[Mapping[str, Any]] = POWER_ITERATION
    units = ("user",)


class TestModelUpdate(QueryContract):
    query = "training"
    settings: ClassVar[Mapping[str, Any]] = {"model": {"tower": True}}
    draws = 16


class TestValidation(QueryContract):
    query = "validation"
    settings: ClassVar[Mapping[str, Any]] = {"model": {"tower": True}, **STOPPING}
    draws = 24


class TestSelection(QueryContract):
    query = "selection"
    settings: ClassVar[Mapping[str, Any]] = SELECTION
    units = ("user",)
    draws = 24


class TestSelectionOfCooccurrence(QueryContract):
    query = "selection"
    settings: ClassVar[Mapping[str, Any]] = SELECTION_OF_COOCCURRENCE
    draws = 16


class TestMetrics(QueryContract):
    query = "metrics"
    settings: ClassVar[Mapping[str, Any]] = {"model": {"tower": True}, "evaluation": {"private_metrics": True}}
    draws = 24


def test_no_query_is_without_its_contract() -> None:
    held = {kind.query for kind in QueryContract.__subclasses__() if kind.__module__ == __name__}
    assert set(QUERIES.names()) == held
