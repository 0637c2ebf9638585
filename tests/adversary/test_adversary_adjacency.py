"""Whose data is replaced by nothing moves a sum by its sensitivity at most, whatever the vectors are and who else is
there: searched over directions that a malicious server may choose, since it knows the rotation.

Of a device that holds several users, each is one privacy unit; of a device that holds one, with several rows, each row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedrec.api.config_plan import report as plan_of
from fedrec.api.privacy import plan_target
from fedrec.cli.plan_tables import show_config_plan, show_target_plan
from fedrec.client.query_handler import QueryHandler
from fedrec.config import from_tree
from fedrec.content.features import Features
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.calibrate import delta_for
from fedrec.privacy.page import facts_of, page_of
from fedrec.privacy.statement import privacy_statement
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.release.card import CardFacts, model_card
from fedrec.secagg.rotation import unrotate
from fedrec.users import Histories, UserBatch, keys_of

Vector = NDArray[np.float64]
LENGTH, BOUND, SEED = 512, 1.0, bytes(range(32))
USERS = 16
PLAIN = PrivateSum.of("training", LENGTH, BOUND, USERS, resolution_bits=20)
ROTATED = PrivateSum.rotated("training", LENGTH, BOUND, USERS, seed=SEED, expected=USERS, resolution_bits=20)


class Chosen(QueryHandler):
    """A handler whose users add what a test chooses: the user's one item is the vector's place."""

    def __init__(self, vectors: list[Vector]) -> None:
        features = Features(
            tuple(map(str, range(len(vectors)))), ("",) * len(vectors),
            {"text": np.ones((len(vectors), 2), np.float32)}, {"text": np.ones(len(vectors), bool)}, (),
        )  # fmt: skip
        super().__init__(from_tree({}), features)
        self.vectors = vectors

    def rows(self, request: Request, population: UserBatch) -> int:
        return max(1, len(population))

    def answer(self, request: Request, population: UserBatch, noise: Any = None) -> Vector:
        told = np.zeros(request.sum.length)
        for item in population.histories.items:
            told += self.vectors[item]
        return told


def people(histories: list[list[int]]) -> UserBatch:
    return UserBatch(Histories.of(histories), keys=keys_of([f"u{at}" for at in range(len(histories))]))


def in_turned_space(values: Vector) -> Vector:
    """The vector of length 1 whose rotated form points there, which a server can make a gradient point to."""
    turned: Vector = unrotate(values / max(float(np.linalg.norm(values)), 1e-12), SEED)
    return turned


def together(handler: QueryHandler, agreed: PrivateSum, population: UserBatch) -> Vector:
    """A whole device at once, its clip at its own number of rows: as contributions were made."""
    rows = handler.rows(Request("training", 1, 0, agreed), population)
    if not len(population):
        return np.zeros(agreed.length)
    return agreed.part(handler.answer(Request("training", 1, 0, agreed), population), rows)


def moved(
    agreed: PrivateSum,
    vectors: list[Vector],
    gone: int,
    contribute: Callable[[QueryHandler, PrivateSum, UserBatch], Vector],
    *,
    kept: bool,
) -> float:
    """How far a device's contribution moves when one user's data is replaced by nothing, or (``kept`` False) when the
    user goes, L2, over the bound."""
    handler = Chosen(vectors)
    with_it = contribute(handler, agreed, people([[at] for at in range(len(vectors))]))
    left = [[] if at == gone else [at] for at in range(len(vectors)) if kept or at != gone]
    return float(np.linalg.norm(with_it - contribute(handler, agreed, people(left)))) / agreed.bound


def user_by_user(handler: QueryHandler, agreed: PrivateSum, population: UserBatch) -> Vector:
    """As devices do it."""
    return handler.contribution(Request("training", 1, 0, agreed), population)


def worst_device() -> list[Vector]:
    """u, and others who all add w: their sum lies at the limit of all rows, and so beyond that of all but one.

    Clipped at n limits the sum is u + (n - 1) w, clipped at n - 1 it is shorter by a limit in each element of w: with
    those at right angles to u, the two are up to 1.41 times the bound apart.
    """
    w, u = np.zeros(LENGTH), np.zeros(LENGTH)
    share = USERS / (USERS - 1) * ROTATED.limit
    count = int((BOUND / share) ** 2)
    w[:count], u[-1] = share, BOUND
    turned: Vector = unrotate(w, SEED)
    return [in_turned_space(u)] + [turned] * (USERS - 1)


def test_a_clip_that_follows_the_rows_of_a_device_moves_further_than_the_bound() -> None:
    """The attack with its defence off: what a ledger calls epsilon 8 is then epsilon 12 and more."""
    found = moved(ROTATED, worst_device(), 0, together, kept=False)
    assert found > 1.3
    delta = delta_for(1000)
    z = 0.57
    spent = epsilon([QueryCost("training", z / found)], delta)
    assert spent > 1.4 * epsilon([QueryCost("training", z)], delta)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("agreed", [PLAIN, ROTATED], ids=["plain", "rotated"])
def test_the_same_device_is_within_the_bound_where_users_are_clipped_one_by_one(agreed: PrivateSum, kept: bool) -> None:
    assert moved(agreed, worst_device(), 0, user_by_user, kept=kept) <= 1 + 1e-9


@settings(max_examples=300, deadline=None)
@given(
    users=st.integers(1, 5),
    spikes=st.integers(1, LENGTH),
    overlap=st.booleans(),
    size=st.floats(0.5, 3),
    kept=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_nobody_moves_a_sum_by_more_than_the_sensitivity(
    users: int, spikes: int, overlap: bool, size: float, kept: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = []
    for _ in range(users):
        turned = np.zeros(LENGTH)
        places = np.arange(spikes) if overlap else rng.permutation(LENGTH)[:spikes]
        turned[places] = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1, spikes)
        vectors.append(size * in_turned_space(turned))  # beyond the bound, too: an encoder may be wrong
    for agreed in (PLAIN, ROTATED):
        distance = moved(agreed, vectors, int(rng.integers(users)), user_by_user, kept=kept) * agreed.bound
        assert distance <= agreed.bound * (1 + 1e-9)
        steps = [
            agreed.ring.decode(agreed.written(part, key=bytes(32)), agreed.resolution)
            for part in (
                user_by_user(Chosen(vectors), agreed, people([[at] for at in range(users)])),
                user_by_user(Chosen(vectors), agreed, people([[], *([at] for at in range(1, users))])),
            )
        ]
        assert np.linalg.norm(steps[0] - steps[1]) <= agreed.sensitivity * (1 + 1e-9)


@settings(max_examples=200, deadline=None)
@given(rows=st.integers(2, 8), moves=st.floats(0.1, 1), seed=st.integers(0, 2**20))
def test_an_interaction_moves_its_users_rows_by_what_it_moves_their_vector(rows: int, moves: float, seed: int) -> None:
    """One user with several rows (unit example): the level is the number of rows that the settings have."""
    rng = np.random.default_rng(seed)
    one = rows * in_turned_space(np.where(rng.random(LENGTH) < 0.1, rng.normal(size=LENGTH), 0.0))
    step = moves * in_turned_space(rng.normal(size=LENGTH) * (rng.random(LENGTH) < 0.2))
    other = one - step
    other *= min(1.0, rows / float(np.linalg.norm(other)))
    apart = float(np.linalg.norm(one - other))
    assert np.linalg.norm(ROTATED.part(one, rows) - ROTATED.part(other, rows)) <= apart * (1 + 1e-9)


def test_a_user_whose_part_fails_takes_nobody_along() -> None:
    """A part that cannot be computed is that user's zero: else one user would move the sum by everybody's bounds."""
    rng = np.random.default_rng(0)
    vectors = [in_turned_space(rng.normal(size=LENGTH)) for _ in range(6)]

    class Failing(Chosen):
        def answer(self, request: Request, population: UserBatch, noise: Any = None) -> Vector:
            if 3 in population.histories.items:
                raise FloatingPointError("a loss is not finite")
            return super().answer(request, population, noise)

    everybody = user_by_user(Chosen(vectors), ROTATED, people([[at] for at in range(6)]))
    found = user_by_user(Failing(vectors), ROTATED, people([[at] for at in range(6)]))
    assert np.linalg.norm(everybody - found) <= BOUND * (1 + 1e-9)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(FloatingPointError):
        patch.setattr(QueryHandler, "_part_or_zero", QueryHandler._part)
        user_by_user(Failing(vectors), ROTATED, people([[at] for at in range(6)]))


def test_the_limit_is_reached() -> None:
    """The device above does reach the limit, so that the tests are of something."""
    assert ROTATED.limit < BOUND / 4 and math.isclose(ROTATED.limit, 5 / math.sqrt(LENGTH) * BOUND)


def test_every_place_states_one_relation(capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal, statement, page and card: none speaks of somebody who is added or taken away."""
    stated = "is replaced by nothing; how many users there are, how they are drawn, and who adds noise stay as they are"
    costs = [QueryCost("training", 2.0, 10, "poisson", 0.1)]
    for unit in ("user", "example"):
        statement = privacy_statement(costs, unit=unit, delta=1e-5)  # type: ignore[arg-type]
        assert statement["adjacency"].endswith(stated)
        page = page_of(facts_of(statement, population=100, name="run", verified=None))
        card = model_card(CardFacts("run", "2026-11-28T00:00:00Z", {}, {}, {}, statement))
        for text in (page, card):
            assert stated in text and "added or taken" not in text
    show_config_plan(plan_of(from_tree({"privacy": {"epsilon": 3.0}}), 100, checks=False))
    show_target_plan(plan_target(1000, rounds=10, epsilon=3.0, cohort=100))
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count(stated) == 2
