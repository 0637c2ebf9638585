"""What a device lets itself be asked, and that it is asked once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
import query_cases

from fedrec.client import request_policy
from fedrec.client.request_policy import check_agreed, claim
from fedrec.collaborative import item_tables
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config
from fedrec.data.store import EventStore
from fedrec.errors import ProtocolError
from fedrec.queries import negatives
from fedrec.queries.request import Request

ITEMS, ROWS = 40, 30
CATALOGUE = query_cases.catalogue(ITEMS)
CONFIG = cases.settings(collaborative={"cooccurrence": {"items": 12}})
PARAMETERS = np.linspace(-1, 1, 17, dtype=np.float32)


def ask_popularity(config: Config = CONFIG) -> Request:
    return query_cases.popularity(config, ITEMS, ROWS)


def ask_cooccurrence(config: Config = CONFIG) -> Request:
    return query_cases.cooccurrence(config, np.arange(12) * 3, ITEMS, ROWS)


def ask_training(config: Config = CONFIG, number: int = 2) -> Request:
    return query_cases.training(config, number, PARAMETERS, ITEMS, ROWS)


# What a device ranks with: the model, and factors over the catalogue.
SCORED_WITH = {"parameters": PARAMETERS, **CollaborativeFactors.empty(ITEMS).arrays()}


def ask_metrics(config: Config = CONFIG) -> Request:
    return query_cases.metrics(config, SCORED_WITH, ITEMS, ROWS)


def ask_by_popularity(config: Config = CONFIG) -> Request:
    weights = negatives.weights_of(np.arange(float(ITEMS)), 0.75)
    return query_cases.training(config, 2, PARAMETERS, ITEMS, ROWS, weights=weights)


def test_a_pool_by_popularity_is_drawn_again_and_nothing_else_is_taken_for_it() -> None:
    config = cases.settings(training={"pool": "popularity", "correction": True})
    request = ask_by_popularity(config)
    check_agreed(config, request, CATALOGUE)
    weights = request.arrays[negatives.WEIGHTS]
    for arrays in (
        {**request.arrays, "pool": np.roll(np.arange(ITEMS, dtype=np.int32), 3)[: len(request.arrays["pool"])]},
        {**request.arrays, negatives.WEIGHTS: weights[::-1].copy()},
        {**request.arrays, negatives.WEIGHTS: weights * 0},
        {name: array for name, array in request.arrays.items() if name != negatives.WEIGHTS},
    ):
        with pytest.raises(ProtocolError):
            check_agreed(config, replace(request, arrays=arrays), CATALOGUE)
    with pytest.raises(ProtocolError):
        check_agreed(CONFIG, request, CATALOGUE)


ASKS = [ask_popularity, ask_cooccurrence, ask_training, ask_metrics]


@pytest.mark.parametrize("ask", ASKS)
def test_what_the_server_asks_under_the_same_settings_is_agreed(ask: Callable[[], Request]) -> None:
    check_agreed(CONFIG, ask(), CATALOGUE)


def wider(request: Request) -> Request:
    return replace(request, sum=replace(request.sum, bound=2 * request.sum.bound))


def longer(request: Request) -> Request:
    return replace(request, sum=replace(request.sum, length=request.sum.length + 1))


def finer(request: Request) -> Request:
    return replace(request, sum=replace(request.sum, resolution=request.sum.resolution / 2))


def renamed(request: Request) -> Request:
    return replace(request, sum=replace(request.sum, name="another"))


def told(request: Request) -> Request:
    return replace(request, settings={**request.settings, "learn": 1})


def at_another_time(request: Request) -> Request:
    return replace(request, round=request.round + 2)


def out_of_order(request: Request) -> Request:
    return replace(request, number=request.number + 1)


@pytest.mark.parametrize("change", [wider, longer, finer, renamed, told, at_another_time, out_of_order])
@pytest.mark.parametrize("ask", ASKS)
def test_a_question_with_one_knob_turned_is_refused(
    ask: Callable[[], Request], change: Callable[[Request], Request]
) -> None:
    with pytest.raises(ProtocolError):
        check_agreed(CONFIG, change(ask()), CATALOGUE)


@pytest.mark.parametrize(
    ("ask", "section", "says"),
    [
        (ask_popularity, {"collaborative": {"popularity": False}}, "leave this query out"),
        (ask_cooccurrence, {"collaborative": {"cooccurrence": {"enabled": False}}}, "leave this query out"),
        (ask_training, {"model": {"tower": False}}, "leave this query out"),
        (ask_training, {"training": {"rounds": 1}}, "not asked in this round"),
        (ask_metrics, {"evaluation": {"private_metrics": False}}, "leave this query out"),
    ],
)
def test_what_the_settings_leave_out_is_not_answered(
    ask: Callable[[], Request], section: dict[str, dict[str, object]], says: str
) -> None:
    with pytest.raises(ProtocolError, match=says):
        check_agreed(cases.settings(**section), ask(), CATALOGUE)


def ask_with_tables(query: str, config: Config) -> Request:
    tables = item_tables.none(config, ITEMS)
    if query == "training":
        return query_cases.training(config, 2, PARAMETERS, ITEMS, ROWS, carried=tables)
    return query_cases.metrics(config, {**SCORED_WITH, **tables}, ITEMS, ROWS)


@pytest.mark.parametrize("query", ["training", "metrics"])
def test_tables_of_items_are_agreed_as_the_settings_have_them(query: str) -> None:
    config = cases.settings(
        collaborative={"feature_columns": 4, "cooccurrence": {"items": 12}}, model={"graph": "both"}
    )
    asked = ask_with_tables(query, config)
    check_agreed(config, asked, CATALOGUE)
    with pytest.raises(ProtocolError):
        check_agreed(CONFIG, asked, CATALOGUE)
    for name in (item_tables.FACTORS, item_tables.NEIGHBOURS):
        without = {key: array for key, array in asked.arrays.items() if key != name}
        with pytest.raises(ProtocolError):
            check_agreed(config, replace(asked, arrays=without), CATALOGUE)
        with pytest.raises(ProtocolError):
            check_agreed(config, replace(asked, arrays={**without, name: asked.arrays[name][:, 1:]}), CATALOGUE)


@pytest.mark.parametrize("ask", ASKS)
def test_a_question_with_an_array_too_many_is_refused(ask: Callable[[], Request]) -> None:
    asked = ask()
    with pytest.raises(ProtocolError):
        check_agreed(CONFIG, replace(asked, arrays={**asked.arrays, "more": PARAMETERS}), CATALOGUE)


@pytest.mark.parametrize("ask", [ask_training, ask_metrics])
def test_frozen_parts_are_told_only_where_the_settings_have_them(ask: Callable[[], Request]) -> None:
    asked = ask()
    told = replace(asked, arrays={**asked.arrays, "frozen": PARAMETERS})
    check_agreed(cases.settings(collaborative={"cooccurrence": {"items": 12}}, model={"head_rank": 2}), told, CATALOGUE)
    check_agreed(
        cases.settings(collaborative={"cooccurrence": {"items": 12}}, model={"text_encoder": "minilm-lora"}),
        told,
        CATALOGUE,
    )
    with pytest.raises(ProtocolError):
        check_agreed(CONFIG, told, CATALOGUE)


def test_a_pool_that_the_server_chose_is_refused() -> None:
    asked = ask_training()
    chosen = np.sort((asked.arrays["pool"] + 1) % ITEMS)
    with pytest.raises(ProtocolError):
        check_agreed(CONFIG, replace(asked, arrays={**asked.arrays, "pool": chosen}), CATALOGUE)


def test_co_occurrence_over_few_items_is_refused() -> None:
    few = query_cases.cooccurrence(CONFIG, np.array([3, 7]), ITEMS, ROWS)
    with pytest.raises(ProtocolError):
        check_agreed(CONFIG, few, CATALOGUE)


@pytest.mark.parametrize(
    ("ask", "name"), [(ask_training, "parameters"), (ask_training, "pool"), (ask_cooccurrence, "items")]
)
def test_a_question_without_an_array_is_refused(ask: Callable[[], Request], name: str) -> None:
    asked = ask()
    with pytest.raises(ProtocolError):
        check_agreed(CONFIG, replace(asked, arrays={k: v for k, v in asked.arrays.items() if k != name}), CATALOGUE)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    EventStore.create(tmp_path / "one.sqlite").close()
    yield tmp_path / "one.sqlite"


def claimed(path: Path, run: str, session: str, request: Request, attempts: int = 3) -> bool:
    """Whether a device that has just started answers."""
    with EventStore.open(path) as store:
        try:
            claim(store, run, session, request, attempts=attempts)
        except ProtocolError:
            return False
    return True


def test_each_question_is_answered_once_also_after_a_restart(path: Path) -> None:
    assert claimed(path, "r", "s", ask_training(number=2))
    assert not claimed(path, "r", "s", ask_training(number=2))
    assert not claimed(path, "r", "s", ask_training(number=1))
    assert claimed(path, "r", "s", ask_training(number=3))
    assert claimed(path, "r", "s", ask_popularity())
    assert not claimed(path, "r", "s", ask_popularity())


def test_a_server_that_starts_anew_goes_on_and_does_not_begin_again(path: Path) -> None:
    assert claimed(path, "r", "s", ask_training(number=1))
    assert claimed(path, "r", "s2", ask_training(number=2))
    for session in ("s", "s2", "s3"):
        assert not claimed(path, "r", session, ask_training(number=1))
    assert claimed(path, "r", "s3", ask_training(number=2))  # cut off in its midst, and asked again
    assert not claimed(path, "r", "s2", ask_training(number=2))


def test_a_round_is_asked_again_so_often_and_no_more(path: Path) -> None:
    answers = [claimed(path, "r", f"s{number}", ask_popularity()) for number in range(5)]
    assert answers == [True, True, True, False, False]
    assert claimed(path, "r", "s5", ask_training(number=1))
    assert claimed(path, "other", "s4", ask_popularity())  # of runs, each has a manifest of its own


def test_what_is_remembered_does_not_grow_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_policy, "_RUNS_KEPT", 3)
    for number in range(5):
        assert claimed(path, f"r{number}", "s", ask_popularity())
    assert [claimed(path, f"r{number}", "s", ask_popularity()) for number in (4, 3, 2)] == [False] * 3
    with EventStore.open(path) as store:
        assert len((store.get_setting("answered rounds") or "").split('"r')) == 4


def test_a_claim_that_is_refused_leaves_nothing(path: Path) -> None:
    assert not claimed(path, "r", "s", ask_popularity(), attempts=0)
    assert claimed(path, "r", "s", ask_popularity(), attempts=1)
