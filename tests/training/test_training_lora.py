"""What adapters alone can learn: the head held where it was, they make a transformer's layer hear what matters."""

from __future__ import annotations

from dataclasses import replace

import lora_cases
import numpy as np

from fedrec.config import from_tree
from fedrec.content.feature_table import Features
from fedrec.model import parameters
from fedrec.training.learner import Learner
from fedrec.users import Histories, UserBatch, keys_of

ITEMS, USERS = 40, 40
POOL = np.arange(24, dtype=np.int32)


def features() -> Features:
    """Two kinds of items; the kind is said by one token, weakly, among louder ones that say nothing."""
    rng = np.random.default_rng(3)
    states = rng.normal(size=(ITEMS, lora_cases.TOKENS, lora_cases.WIDTH))
    kinds = np.where(np.arange(ITEMS) % 2, 1.0, -1.0)[:, None]
    states[:, 1] = 0.5 * states[:, 1] + 0.6 * kinds * rng.normal(size=lora_cases.WIDTH)
    ids = tuple(map(str, range(ITEMS)))
    found = Features(ids, ids, {"text": states.astype(np.float16)}, {"text": np.ones(ITEMS, np.bool_)})
    return replace(found, weights={"text": lora_cases.random_weights()})


def people(seed: int) -> UserBatch:
    """Each likes eight items of one kind."""
    rng = np.random.default_rng(seed)
    items = np.concatenate([rng.permutation(ITEMS // 2)[:8] * 2 + user % 2 for user in range(USERS)])
    indptr = np.arange(USERS + 1, dtype=np.int64) * 8
    keys = keys_of([f"u{user}" for user in range(USERS)])
    return UserBatch(Histories(indptr, items.astype(np.int32)), keys=keys)


def test_adapters_alone_learn_what_others_like_too() -> None:
    model = {"dimension": 8, **lora_cases.LORA, "lora_rank": 4, "history": 4}
    config = from_tree({"model": model, "training": {"positives": 4, "temperature": 0.3}, "run": {"seed": 2}})
    learner = Learner(config, features())
    values = parameters.flatten(learner.model)
    trained = np.zeros(len(values), np.float32)
    for name, part in parameters.named_parts(learner.model, trained).items():
        part += name.endswith(".up.weight")
    assert trained.sum() == 2 * 4 * lora_cases.WIDTH
    layer = learner.model.state_dict()["encoders.text.layer.value_weight"].clone()

    def loss(at: np.ndarray) -> float:
        return learner.update(people(7), at, POOL, 1).loss / USERS

    before = loss(values)
    for number in range(1, 9):
        step = learner.update(people(1), values, POOL, number).gradient * trained
        values = values - (4.0 * step / np.linalg.norm(step)).astype(np.float32)
    assert loss(values) < 0.9 * before
    assert (learner.model.state_dict()["encoders.text.layer.value_weight"] == layer).all()
