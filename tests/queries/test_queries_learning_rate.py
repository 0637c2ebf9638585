"""The order of a run: every round that a config asks has a place of its own, the same on both sides."""

from __future__ import annotations

from typing import Any

import federation_cases as cases
import pytest

from fedrec.config import Config, from_tree
from fedrec.errors import ProtocolError
from fedrec.queries.schedule import asked_by, number_of, schedule

PUBLIC = {"privacy": {"epsilon": None, "shares": {}}}
ITERATED: dict[str, Any] = {
    "cooccurrence": {"enabled": False},
    "power_iteration": {"enabled": True, "steps": 2, "rank": 3},
    "prior": {"weight": 1.0, "modalities": {"text": 1.0}},
}
STOPPED = {"rounds": 5, "stopping": {"every": 2, "patience": 1}}
TRAINED = [("training", number) for number in (1, 2, 3)]

ORDERS = [
    ({}, [("popularity", 0), ("cooccurrence", 0), *TRAINED, ("metrics", 4)]),
    (
        {"collaborative": ITERATED, **PUBLIC},
        [("popularity", 0), ("directions", 1), ("directions", 2), ("factors", 0), *TRAINED, ("metrics", 4)],
    ),
    (
        {"training": STOPPED, **PUBLIC},
        [
            *(("popularity", 0), ("cooccurrence", 0)),
            *(("training", 1), ("training", 2), ("validation", 1), ("training", 3), ("training", 4)),
            *(("validation", 2), ("training", 5), ("validation", 3), ("metrics", 6)),
        ],
    ),
    ({"model": {"tower": False}}, [("popularity", 0), ("cooccurrence", 0), ("metrics", 4)]),
    ({"evaluation": {"private_metrics": False}}, [("popularity", 0), ("cooccurrence", 0), *TRAINED]),
]


@pytest.mark.parametrize(("changes", "order"), ORDERS)
def test_sums_of_a_run_have_numbers_that_only_go_up(changes: dict[str, Any], order: list[tuple[str, int]]) -> None:
    config = cases.settings(**changes)
    assert [(one.query.name, one.round) for one in schedule(config)] == order
    assert [number_of(config, query, number) for query, number in order] == list(range(len(order)))
    assert {query.name for query in asked_by(config)} == {query for query, _ in order}


def test_what_is_not_asked_has_no_number() -> None:
    for query, number in (("training", 0), ("training", 4), ("popularity", 1), ("validation", 1), ("factors", 0)):
        with pytest.raises(ProtocolError, match="not asked in this round"):
            number_of(cases.settings(), query, number)


def test_speed_changes_no_number_and_other_settings_may() -> None:
    config = cases.settings()
    fast: Config = from_tree({**cases.SETTINGS, "speed": {"threads": 2}})
    assert schedule(fast) is schedule(config)
    assert len(schedule(cases.settings(training={"rounds": 4}))) == len(schedule(config)) + 1
