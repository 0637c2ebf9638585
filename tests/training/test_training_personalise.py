"""Personalisation: only the user's own vector moves, on the user's own events, and it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from training_worlds import small_features, small_population

from fedrec.config import from_tree
from fedrec.errors import ModelError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.randomness import key
from fedrec.ranking.score import Scorer
from fedrec.training.build_rows import RowShape
from fedrec.training.personalise import personalise
from fedrec.training.tables import Tables
from fedrec.users import UserBatch

CONFIG = from_tree({"model": {"dimension": 6, "adapter": True}, "collaborative": {"scoring": {"weight": 0.0}}})
FEATURES = small_features()
POOL = np.arange(40, dtype=np.int32)
PEOPLE = small_population(own=False)


def adapters(people: UserBatch, steps: int = 8, seed: int = 0) -> np.ndarray:
    model = build_model(CONFIG, FEATURES)
    before = parameters.flatten(model)
    made = personalise(
        model, people, Tables(FEATURES), POOL, RowShape(4, 8), loss="sampled-softmax", steps=steps, key=key(seed, "p")
    )
    np.testing.assert_array_equal(parameters.flatten(model), before)
    return made


def test_users_get_the_same_vector_alone_and_among_others() -> None:
    together = adapters(PEOPLE)
    for user in range(len(PEOPLE)):
        np.testing.assert_allclose(adapters(PEOPLE.take(np.array([user])))[0], together[user], atol=1e-5)


def test_another_users_events_change_nothing_of_mine() -> None:
    changed = replace(PEOPLE, histories=replace(PEOPLE.histories, items=PEOPLE.histories.items.copy()))
    start, stop = PEOPLE.histories.indptr[8], PEOPLE.histories.indptr[9]
    changed.histories.items[start:stop] = np.setdiff1d(np.arange(40), PEOPLE.histories[8])[: stop - start]
    np.testing.assert_allclose(adapters(changed)[:8], adapters(PEOPLE)[:8], atol=1e-5)
    assert np.abs(adapters(changed)[8] - adapters(PEOPLE)[8]).max() > 1e-3


def test_it_lifts_what_the_user_chose() -> None:
    model = build_model(CONFIG, FEATURES)
    scorer = Scorer(
        model=model, features=FEATURES, collaborative=None, settings=CONFIG.collaborative, model_settings=CONFIG.model
    )
    histories = PEOPLE.histories
    plain = scorer.parts_of(UserBatch(histories)).total
    own = scorer.parts_of(UserBatch(histories, adapter=adapters(PEOPLE, steps=30))).total
    user = 8
    assert own[user][PEOPLE.histories[user]].mean() > plain[user][PEOPLE.histories[user]].mean() + 0.1


def test_nobody_without_events_gets_a_vector_and_no_steps_are_refused() -> None:
    assert not adapters(PEOPLE)[0].any()
    with pytest.raises(ModelError, match="at least 1 step"):
        adapters(PEOPLE, steps=0)
