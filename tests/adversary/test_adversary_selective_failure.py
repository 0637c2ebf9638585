"""A server that makes devices fail on what they hold: whether, how and how long they answer must not say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import selective_cases as cases
import torch

from fedrec.client.device import Device
from fedrec.client.query_handler import QueryHandler
from fedrec.config import Config
from fedrec.content.features import save_features
from fedrec.data.store import EventStore
from fedrec.model.objective import Objective
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.queries.device import metrics as metrics_encoder
from fedrec.queries.device import validation as validation_encoder
from fedrec.queries.request import Request
from fedrec.simulation.study import Study
from fedrec.testing.asked import Asked, shared_study
from fedrec.testing.replay import Replay, make_store, replayed

ASKED = [("training", place) for place in cases.PLACES] + [
    ("validation", "server"),
    ("metrics", "server"),
    ("directions", "server"),
    ("directions", "distributed"),
]
AIMED = [one for one in ASKED if one[0] in ("training", "metrics", "validation")]


@dataclass(frozen=True)
class World:
    """A catalogue, and what an honest run asks its devices."""

    study: Study
    catalogue: Path
    config: Config
    request: Request

    def store(self, path: Path, items: list[int], held: int) -> Path:
        ids = self.study.features.ids
        return make_store(path, [ids[item] for item in items], held=ids[held])

    def replies(self, out: Path, request: Request, *stores: tuple[list[int], int]) -> list[Replay]:
        """What devices with these histories and held-out items answer. Each is new: it never saw another request."""
        out.mkdir(parents=True)
        placed = [self.store(out / f"{at}.sqlite", *one) for at, one in enumerate(stores)]
        return [replayed(self.config, self.catalogue, store, request, run="hostile") for store in placed]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return shared_study(tmp_path_factory)


@pytest.fixture(scope="module")
def world(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], World]:
    """The world of a query and a place of noise, made once."""
    made: dict[tuple[str, str], World] = {}

    def get(query: str, place: str) -> World:
        if (query, place) not in made:
            config, out = cases.config_of(query, place), tmp_path_factory.mktemp(f"{query}-{place}")
            save_features(study.features, study.encoders, out / "catalogue")
            request = Asked.of(query, config, study, out / "run").last
            made[query, place] = World(study, out / "catalogue", config, request)
        return made[query, place]

    return get


def neighbours(item: int, world: World) -> Iterator[tuple[tuple[list[int], int], tuple[list[int], int]]]:
    """Pairs of stores that differ in one event, of ``item`` or its place among what was held out."""
    others = [other for other in range(len(world.study.features)) if other != item][:12]
    yield ([*others[:3], item], others[9]), (others[:3], others[9])
    yield ([item], others[9]), ([], others[9])
    yield (others[:3], item), (others[:3], others[9])


@pytest.mark.parametrize(("query", "place"), ASKED)
@pytest.mark.slow
def test_replies_to_hostile_broadcasts_are_of_one_kind_and_size(
    query: str, place: str, world: Callable[[str, str], World], tmp_path: Path
) -> None:
    here = world(query, place)
    refused = answered = 0
    targets = [7] + ([cases.overflowing(here.config, here.study, here.request)[1]] if query != "directions" else [])
    broadcasts = [("honest", here.request), *cases.hostile(here.config, here.study, here.request)]
    for number, (how, request) in enumerate(broadcasts):
        for pair, stores in enumerate(one for item in targets for one in neighbours(item, here)):
            one, other = here.replies(tmp_path / f"{number}-{pair}", request, *stores)
            assert one.kind == other.kind, f"{how}: whether a device answers says what it holds"
            assert len(one.answer) == len(other.answer), how
            assert one.kind in ("share", "ProtocolError"), (how, one.kind)
            assert how != "honest" or one.kind == "share"
            refused, answered = refused + (one.kind != "share"), answered + (one.kind == "share")
    assert refused and answered, "the grid holds broadcasts that are refused and broadcasts that are answered"


def test_what_is_refused_is_refused_before_anything_is_read_or_paid(
    world: Callable[[str, str], World], tmp_path: Path
) -> None:
    here = world("training", "server")
    hostile, item = cases.aimed(here.config, here.study, here.request)
    (reply,) = here.replies(tmp_path / "one", hostile, ([item], 3))
    assert reply.kind == "ProtocolError"
    with EventStore.open(tmp_path / "one" / "0.sqlite") as store:
        assert not DeviceLedger(store).rows()


# The same attacks with a defence taken away. Each encoder below fails where a number is not finite, as encoders did.


@contextmanager
def unchecked() -> Iterator[pytest.MonkeyPatch]:
    """No check of broadcasts on public data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QueryHandler, "check", lambda self, request: None)
        for module in ("model_update", "scoring"):
            for name in ("check_array", "check_item_vectors"):
                patch.setattr(f"fedrec.queries.device.{module}.{name}", lambda *_, **__: None)
        patch.setattr("fedrec.queries.device.scoring.check_scorer", lambda scorer: None)
        yield patch


@contextmanager
def fragile() -> Iterator[pytest.MonkeyPatch]:
    """Encoders that raise for a row that is not finite, and no check of broadcasts."""
    right_forward, right_rows = Objective.forward, metrics_encoder.metric_rows
    right_validation = validation_encoder.validation_rows

    def forward(self: Objective, rows: Any) -> Any:
        losses = right_forward(self, rows)
        if not bool(torch.isfinite(losses).all()):
            raise FloatingPointError("a loss is not finite")
        return losses

    def metric_rows(scores: Any, *rest: Any, **named: Any) -> Any:
        if not np.isfinite(scores).all():
            raise FloatingPointError("a score is not finite")
        return right_rows(scores, *rest, **named)

    def validation_rows(scores: Any, *rest: Any, **named: Any) -> Any:
        # The item's own score is beyond all numbers for everybody, the others' for who has it.
        if not np.isfinite(scores).any(axis=1).all():
            raise FloatingPointError("a score is not finite")
        return right_validation(scores, *rest, **named)

    with unchecked() as patch:
        patch.setattr(Objective, "forward", forward)
        patch.setattr(metrics_encoder, "metric_rows", metric_rows)
        patch.setattr(validation_encoder, "validation_rows", validation_rows)
        yield patch


def found(here: World, out: Path) -> tuple[set[int], set[int]]:
    """Who has the item, and who a server finds by who fails, of ten devices."""
    hostile, item = cases.aimed(here.config, here.study, here.request)
    others = [other for other in range(40) if other != item]
    having = {1, 4, 5, 8}
    stores = [([*others[at : at + 3], *([item] if at in having else [])], others[30]) for at in range(10)]
    replies = here.replies(out, hostile, *stores)
    return having, {at for at, reply in enumerate(replies) if reply.kind != "share"}


@pytest.mark.parametrize(("query", "place"), AIMED)
def test_without_defences_the_server_finds_everybody_who_has_the_item(
    query: str, place: str, world: Callable[[str, str], World], tmp_path: Path
) -> None:
    with fragile() as patch:
        patch.setattr(Device, "_told", lambda self, store, request: self._of(store, request, self._collected(store)))
        patch.setattr(QueryHandler, "_part_or_zero", QueryHandler._part)
        having, named = found(world(query, place), tmp_path / "off")
    assert named == having


@pytest.mark.parametrize(("query", "place"), AIMED)
def test_a_device_answers_even_where_its_encoder_fails_and_nothing_was_checked(
    query: str, place: str, world: Callable[[str, str], World], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with fragile():
        _, named = found(world(query, place), tmp_path / "on")
    assert not named
    assert "FloatingPointError" in caplog.text and "not finite" not in caplog.text


@pytest.mark.parametrize(("query", "place"), AIMED)
def test_the_check_alone_keeps_it_from_the_server(
    query: str, place: str, world: Callable[[str, str], World], tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Device, "_told", lambda self, store, request: self._of(store, request, self._collected(store)))
        patch.setattr(QueryHandler, "_part_or_zero", QueryHandler._part)
        _, named = found(world(query, place), tmp_path / "checked")
    assert named == set(range(10)), "every device refuses alike"


@pytest.mark.parametrize(("query", "place"), AIMED)
def test_rows_that_are_not_finite_are_zero_where_nothing_was_checked(
    query: str, place: str, world: Callable[[str, str], World], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with unchecked():
        _, named = found(world(query, place), tmp_path / "rows")
    assert not named
    assert "could not be computed" not in caplog.text, "the encoder itself gives the row's zero"
