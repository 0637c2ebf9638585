"""Time of day in the user tower: read right, masked where unknown, clipped exactly, learned, and used on a device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedrec.client.load_population import first_met
from fedrec.client.ranker import Ranker
from fedrec.config import from_tree
from fedrec.console import open_reporter
from fedrec.content.feature_table import Features
from fedrec.content.registry import encoder_to_bytes
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.clock import UNKNOWN, clock, mean_clock
from fedrec.model.objective import Objective
from fedrec.model.rows import Rows
from fedrec.queries.optimisers import Optimiser
from fedrec.randomness import key
from fedrec.ranking.context import context_of
from fedrec.ranking.tower import TowerScorer
from fedrec.release.bundle import read_release, write_release
from fedrec.release.keys import SigningKey
from fedrec.server.publish import contents_of
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.measure import scorer_of
from fedrec.simulation.study import Study, assemble
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.clipping import ClippedGradients
from fedrec.training.examples import by_example
from fedrec.training.learner import Learner
from fedrec.training.tables import Tables
from fedrec.users import Histories, UserBatch, keys_of

HOUR = 3600
MORNING, EVENING = 9 * HOUR, 21 * HOUR
CONTEXT = {"model": {"context": True}}


def test_known_hours() -> None:
    seconds = np.array([0, 6 * HOUR, 12 * HOUR + 86_400 * 900, 18 * HOUR, UNKNOWN])
    np.testing.assert_allclose(clock(seconds), [[0, 1], [1, 0], [0, -1], [-1, 0], [0, 0]], atol=1e-6)


@given(st.lists(st.tuples(st.integers(-1, 10**10), st.booleans()), min_size=1, max_size=9))
def test_the_mean_is_over_what_is_known(events: list[tuple[int, bool]]) -> None:
    seconds, mask = np.array([[at for at, _ in events]]), np.array([[there for _, there in events]])
    known = [clock(np.array([at]))[0] for at, there in events if there and at >= 0]
    np.testing.assert_allclose(mean_clock(seconds, mask)[0], np.mean(known, 0) if known else [0, 0], atol=1e-5)


def test_a_context_reads_the_last_events_only() -> None:
    found = context_of(
        np.array([MORNING, UNKNOWN, 0]), np.array([0, 3, 4, 4]), np.array([0, EVENING, EVENING, UNKNOWN]), 2
    )
    expected = [[*clock(np.array(MORNING)), *clock(np.array(EVENING))], [0, 0, 0, 0], [0, 1, 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_item_counts_when_it_was_first_met() -> None:
    events = [Event("b", None), Event("a", 5), Event("gone", 6), Event("a", 9)]
    assert first_met(events, {"a": 3, "b": 7}) == {7: UNKNOWN, 3: 5}


def toy(seed: int = 0, users: int = 60) -> tuple[Features, UserBatch]:
    """Items 0 to 9 are met in the morning, 10 to 19 in the evening, and 20 to 29 at times that nobody took down."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(30, 8)).astype(np.float32)
    features[:10, 0] += 4
    features[10:20, 1] += 4
    ids = tuple(map(str, range(30)))
    evening = rng.random(users) < 0.5
    items = np.stack([20 + rng.integers(0, 10, users), 10 * evening + rng.integers(0, 10, users)], axis=1)
    times = np.stack([np.full(users, UNKNOWN), np.where(evening, EVENING, MORNING)], axis=1)
    population = UserBatch(
        Histories(np.arange(0, 2 * users + 1, 2, dtype=np.int64), items.ravel().astype(np.int32)),
        keys=keys_of([f"u{user}" for user in range(users)]),
        times=times.ravel().astype(np.int64),
    )
    return Features(ids, ids, {"text": features}, {"text": np.ones(30, bool)}), population


def events(users: UserBatch) -> list[tuple[int, int]]:
    assert users.times is not None
    return sorted(zip(users.histories.items.tolist(), users.times.tolist(), strict=True))


def rows_of(population: UserBatch, features: Features) -> Rows:
    (rows,) = build_rows(
        population, Tables(features), np.arange(30, dtype=np.int32), RowShape(3, 7), key=key(0, "rows"), batch_rows=999
    )
    return rows


def test_rows_say_when_their_own_events_were(federation_study: Study) -> None:
    features, people = toy()
    rows = rows_of(people, features)
    assert rows.context is not None
    for user in range(len(people)):
        known = clock(people.times[2 * user + 1 : 2 * user + 2])[0]  # type: ignore[index]
        learned, history = rows.context[user, :2].numpy(), rows.context[user, 2:].numpy()
        assert (np.allclose(learned, known) and not history.any()) != (
            np.allclose(history, known) and not learned.any()
        )
    alone = rows_of(people.take(np.array([5])), features)
    assert alone.context is not None
    assert torch.equal(alone.context[0], rows.context[5])
    split = by_example(people, 4, key(0, "groups"))
    assert split.times is not None
    assert events(split) == events(people)
    assert rows_of(replace(people, times=None), features).context is None


@pytest.mark.parametrize("mode", ["bookkeeping", "hooks", "ghost", "functional"])
def test_gradients_of_rows_with_a_context_are_clipped_as_brute_force_does(mode: str) -> None:
    features, people = toy(users=12)
    config = from_tree({"model": {"dimension": 4, "context": True}})
    rows = rows_of(people, features)
    objective = Objective(build_model(config, features), config.training)
    with torch.no_grad():
        objective.model.context.weight += 0.3 * torch.randn(4, 4, generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr]
    named, total = parameters.shared_parameters(objective), np.zeros(parameters.count(objective))
    for place in range(rows.rows):
        found = torch.autograd.grad(objective(rows.select(slice(place, place + 1))).sum(), list(named.values()))
        gradient = torch.cat([part.flatten() for part in found]).double().numpy()
        total += gradient * min(1.0, 0.2 / np.linalg.norm(gradient))
    gradients = ClippedGradients(objective, lambda losses, _: losses, 0.2, mode)  # type: ignore[arg-type]
    np.testing.assert_allclose(gradients(rows)[0], total, atol=1e-5)


def test_it_learns_what_is_wanted_in_the_morning_and_what_in_the_evening() -> None:
    features, people = toy(users=200)
    config = from_tree({"model": {"dimension": 8, "context": True, "warm_start": None}, "training": {"positives": 1}})
    learner, pool = Learner(config, features), np.arange(30, dtype=np.int32)
    values, optimiser = parameters.flatten(learner.model).astype(np.float64), Optimiser("adam", 0.05)
    for number in range(1, 41):
        update = learner.update(people, values.astype(np.float32), pool, number)
        values = optimiser.step(values, update.gradient / update.rows)
    parameters.unflatten(learner.model, values)
    scorer = TowerScorer(learner.model, features, history=8)
    histories = Histories.of([np.array([25]), np.array([25]), np.array([25])])
    context = context_of(
        np.array([MORNING, EVENING, UNKNOWN]), histories.indptr, np.full(3, UNKNOWN, dtype=np.int64), 8
    )
    scores = scorer.scores(UserBatch(histories, context=context))
    early, late = scores[:, :10].mean(axis=1), scores[:, 10:20].mean(axis=1)
    assert early[0] > late[0] + 0.2
    assert late[1] > early[1] + 0.2
    assert abs(early[2] - late[2]) < min(early[0] - late[0], late[1] - early[1])
    np.testing.assert_array_equal(scores[2], scorer.scores(UserBatch(histories))[2])


def test_without_it_nothing_is_other_than_before() -> None:
    features, people = toy(users=9)
    plain, reading = (build_model(from_tree({"model": {"context": on}}), features) for on in (False, True))
    assert parameters.count(reading) == parameters.count(plain) + 4 * plain.dimension
    assert plain.context is None
    rows = rows_of(people, features)
    assert torch.equal(plain(rows), plain(replace(rows, context=None)))
    # Its weights start at zero: the first round ranks as a model without it does.
    np.testing.assert_allclose(reading(rows).detach(), plain(rows).detach(), atol=1e-4)


@pytest.mark.slow
def test_engines_agree_and_a_device_ranks_by_the_hour(federation_study: Study, tmp_path: Path) -> None:
    old = federation_study
    config = cases.settings(**CONTEXT)
    study = assemble(config, old.dataset, old.features, old.encoders)
    assert study.population.times is not None
    assert (study.population.times >= 0).any()
    devices = CohortDevices(config, study.features, study.population)
    outcome = cases.run(config, study, devices, tmp_path / "cohort")
    with open_reporter(silent=True) as reporter, grid_devices(config, study, tmp_path / "d", reporter) as grid:
        second = cases.run(config, study, grid, tmp_path / "grid")
    assert outcome.model is not None
    assert second.model is not None
    ours, theirs = parameters.flatten(outcome.model), parameters.flatten(second.model)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)
    assert np.abs(outcome.model.context.weight.detach().numpy()).max() > 1e-3  # type: ignore[union-attr]
    encoders = {name: encoder_to_bytes(encoder) for name, encoder in study.encoders.items()}
    contents = contents_of(config, encoders, outcome, {}, quality={}, data={})
    write_release(tmp_path / "release", contents, key=SigningKey.fresh())
    ranker = Ranker(read_release(tmp_path / "release"))
    with EventStore.open(sorted((tmp_path / "d").rglob("00000.sqlite"))[0]) as store:
        (user,) = store.users()
        place = study.dataset.users.index(user)
        request = study.known.context
        assert request is not None
        at = next(at for at in range(0, 86_400, 60) if np.allclose(clock(np.array(at)), request[place, :2], atol=5e-3))
        known = ranker.known(store, user, at)
        assert known.context is not None
        np.testing.assert_allclose(known.context[0, :2], request[place, :2], atol=5e-3)
        first = ranker.scorer.tower_part(known)
        assert not np.allclose(first, ranker.scorer.tower_part(ranker.known(store, user, at + 43_200)), atol=1e-4)
        assert ranker.known(store, user).context is not None
    simulated = scorer_of(config, study, outcome.model, outcome.collaborative, outcome.features).tower_part(study.known)
    np.testing.assert_allclose(ranker.scorer.tower_part(study.known), simulated, atol=1e-4)
