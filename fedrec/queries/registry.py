"""The single list of queries: to add one is to add a module in each half, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedrec.registry import Registry

if TYPE_CHECKING:
    from fedrec.queries.query import Query

QUERIES: Final[Registry[Query]] = Registry(
    "query",
    {
        "popularity": "fedrec.queries.popularity:POPULARITY",
        "census": "fedrec.queries.census:CENSUS",
        "cooccurrence": "fedrec.queries.cooccurrence:COOCCURRENCE",
        "directions": "fedrec.queries.directions:DIRECTIONS",
        "factors": "fedrec.queries.factors:FACTORS",
        "ratings": "fedrec.queries.ratings:RATINGS",
        "training": "fedrec.queries.model_update:MODEL_UPDATE",
        "validation": "fedrec.queries.validation:VALIDATION",
        "selection": "fedrec.queries.selection:SELECTION",
        "metrics": "fedrec.queries.metrics:METRICS",
    },
    group="fedrec.queries",
)
