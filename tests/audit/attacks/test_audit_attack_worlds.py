"""Each attack against a small shop: it works on plain federated averaging, and not on what the defences let through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedrec.audit.attacks.ceiling import greatest_auc
from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter, open_reporter
from fedrec.errors import DataError
from fedrec.queries.plan import costs_of
from fedrec.simulation.attacks import attributes
from fedrec.simulation.attacks.attributes import AttributeAttack
from fedrec.simulation.attacks.id_support import IdSupportAttack
from fedrec.simulation.attacks.interactions import InteractionsAttack
from fedrec.simulation.attacks.inversion import InversionAttack
from fedrec.simulation.attacks.membership import MembershipAttack
from fedrec.simulation.attacks.registry import all_attacks
from fedrec.simulation.attacks.result import DEFENCES, Attack, AttackResult, Defence
from fedrec.simulation.attacks.table import AttackTable, fill
from fedrec.simulation.attacks.victims import paired_by_popularity, row_of
from fedrec.simulation.attacks.world import AttackedTraining, defended, training_only
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare
from fedrec.users import Histories, UserBatch, keys_of

pytestmark = pytest.mark.slow

USERS, ITEMS = 60, 150
CROWD, EVENTS = 300, 20


@pytest.fixture(scope="module")
def config() -> Config:
    return from_tree(
        {
            "run": {"name": "attacked", "seed": 3},
            "content": {"text": {"dimension": 32, "vocabulary": 512}, "image": {"dimension": 48}},
            "model": {"dimension": 16},
            "collaborative": {"cooccurrence": {"normalise": 0.5}, "scoring": {"weight": 0.8}},
            "training": {"rounds": 4, "negatives": 32, "learning_rate": 0.02},
            "speed": {"threads": 1},
        }
    )


@pytest.fixture(scope="module")
def study(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A shop, whose users.csv knows ages and no genders."""
    torch.set_num_threads(1)
    shop = tmp_path_factory.mktemp("attacked") / "shop"
    write_shop(shop, users=USERS, items=ITEMS, seed=1, private_users=0)
    with open_reporter(silent=True) as reporter:
        return prepare(config, shop, reporter)


def drawn_crowd(study: Study) -> tuple[Study, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """300 users in place of the shop's, and on which side each is: a coin that is tossed before anything is touched.

    Items have a side by their text; of what a user touches four fifths are of the user's side.
    """
    rng = np.random.default_rng(11)
    sides = rng.random(CROWD) < 0.5
    text = study.features.values["text"] - study.features.values["text"].mean(0)
    along = text @ np.linalg.svd(text, full_matrices=False)[2][0]
    side_of_item = along > np.median(along)
    chances = np.where(side_of_item == sides[:, None], 0.8, 0.2)
    items = np.stack([rng.choice(ITEMS, EVENTS, replace=False, p=row / row.sum()) for row in chances])
    people = UserBatch(
        Histories(np.arange(CROWD + 1, dtype=np.int64) * EVENTS, items.ravel().astype(np.int32)),
        keys=keys_of([f"crowd {place}" for place in range(CROWD)]),
    )
    return replace(study, population=people), sides


def attacked(attack: Attack, study: Study, config: Config, defence: Defence, *, seed: int = 5) -> AttackResult:
    found = attack.run(study, config, defence, seed=seed, reporter=SilentReporter())
    assert (found.attack, found.defence) == (attack.name, defence)
    assert found.low <= found.value <= found.high
    assert found.trials > 0
    return found


def test_every_attack_is_found_under_its_own_name() -> None:
    found = all_attacks()
    assert {
        *("attribute-age", "attribute-gender", "id-support", "interactions"),
        *("inversion-picture", "inversion-text", "membership"),
    } <= set(found)
    assert all(attack.name == name and attack.paper for name, attack in found.items())


def test_interactions_are_read_off_an_update_and_not_off_a_sum(study: Study, config: Config) -> None:
    attack = InteractionsAttack(victims=5, sums=4, steps=90)
    assert attacked(attack, study, config, "plain").low > 0.8
    for defence in ("secagg", "user-dp-1"):
        found = attacked(attack, study, config, defence)
        assert found.value == pytest.approx(0.5, abs=0.1)
        assert found.low < 0.55


def test_a_planted_note_is_read_off_an_update_and_not_off_a_sum(study: Study, config: Config) -> None:
    attack = InversionAttack("inversion-text", "text", victims=4, steps=120)
    assert attacked(attack, study, config, "plain").value >= 0.8
    assert attacked(attack, study, config, "secagg").value <= 0.1
    assert attacked(attack, study, config, "user-dp-1").value <= 0.1


def test_a_planted_photo_is_read_off_an_update_and_not_off_a_sum(study: Study, config: Config) -> None:
    attack = InversionAttack("inversion-picture", "image", victims=4, steps=250)
    # Found for all 36 victims of six other shops, which is at least nine in ten.
    assert attacked(attack, study, config, "plain").value >= 0.75
    assert attacked(attack, study, config, "user-dp-8").value <= 0.1


def test_the_rows_of_an_id_update_are_the_interactions(study: Study, config: Config) -> None:
    attack = IdSupportAttack(negatives=2)
    assert attacked(attack, study, config, "plain").value > 0.95
    for defence in ("secagg", "user-dp-8", "user-dp-1"):
        assert attacked(attack, study, config, defence).value == pytest.approx(0.5, abs=0.1)


def test_an_attribute_is_inferred_from_updates_and_not_from_noisy_sums(study: Study, config: Config) -> None:
    crowd, sides = drawn_crowd(study)
    attack = AttributeAttack("attribute-side", lambda _: sides, rounds=60, own_rounds=1, components=16)
    assert attacked(attack, crowd, config, "plain").low > 0.7
    # The sums alone do not hide it from who knows the cohorts: it is the noise that does.
    assert attacked(attack, crowd, config, "secagg").low > 0.5
    noisy = [attacked(attack, crowd, config, "user-dp-1", seed=seed) for seed in (5, 6, 7)]
    assert np.mean([found.value for found in noisy]) == pytest.approx(0.5, abs=0.08)
    assert all(found.low < 0.55 for found in noisy)


def test_an_attribute_that_nothing_depends_on_is_not_inferred(study: Study, config: Config) -> None:
    crowd, sides = drawn_crowd(study)
    coins = np.random.default_rng(12).random(len(sides)) < 0.5
    found = attacked(
        AttributeAttack("attribute-coin", lambda _: coins, own_rounds=1, components=16), crowd, config, "plain"
    )
    assert abs(found.value - 0.5) < 0.1


def test_members_are_told_from_others_by_a_model_without_noise_only(study: Study, config: Config) -> None:
    attack = MembershipAttack(models=5, rounds=2)
    plain = attacked(attack, study, config, "plain")
    assert plain.value > 0.8
    assert attacked(attack, study, config, "secagg").value == plain.value
    private = attacked(attack, study, config, "user-dp-1")
    assert private.value == pytest.approx(0.5, abs=0.1)
    costs = costs_of(defended(config, "user-dp-1", seed=5), USERS // 2)
    ceiling = greatest_auc(costs)
    assert private.low < ceiling < plain.low
    assert f"no attack exceeds {ceiling:.3f}" in private.note
    assert "RMIA" in private.note


def test_data_without_the_attribute_is_refused_and_leaves_its_cell_empty(
    study: Study, config: Config, tmp_path: Path
) -> None:
    attack = attributes.GENDER
    with pytest.raises(DataError, match="columns user and gender"):
        attacked(attack, study, config, "plain")
    table = AttackTable.open(tmp_path / "attacks.json", "key", {})
    fill(table, [attack], ["plain"], study, config, seed=5, reporter=SilentReporter())
    assert not table.cells
    assert "columns user and gender" in table.failed["attribute-gender", "plain"]
    assert "columns user and gender" in table.markdown()


def test_an_attribute_that_nearly_all_have_is_refused(study: Study, config: Config) -> None:
    attack = AttributeAttack("attribute-rare", lambda made: np.arange(len(made.population)) < 3)
    with pytest.raises(DataError, match="at least 10 users"):
        attacked(attack, study, config, "plain")


def test_defences_are_what_they_say(study: Study, config: Config) -> None:
    """The sum is the sum of the updates; only the private ones carry noise, the more the smaller epsilon."""
    away = {}
    for defence in DEFENCES:
        training = AttackedTraining(training_only(defended(config, defence, seed=5)), study, study.population)
        exact = sum(training.update(user, 1) for user in range(USERS))
        away[defence] = float(np.abs(training.opened(None, 1) - exact).std())
    assert max(away["plain"], away["secagg"]) < 1e-5
    assert 0.1 < away["user-dp-8"] < away["user-dp-1"] / 4


def test_items_asked_about_say_nothing_by_their_popularity(study: Study) -> None:
    rng = np.random.default_rng(0)
    people = study.population
    counts = np.bincount(people.histories.items, minlength=ITEMS).astype(float)
    found = []
    for user in range(USERS):
        asked = paired_by_popularity(people, user, people.histories[user], ITEMS, rng)
        assert np.isin(asked.interacted, people.histories[user]).all()
        assert not np.isin(asked.untouched, people.histories[user]).any()
        assert len(np.unique(asked.untouched)) == len(asked.untouched)
        others = counts.copy()
        others[people.histories[user]] -= 1
        found.append(asked.auc(others))
    assert np.nanmean(found) == pytest.approx(0.5, abs=0.03)


def test_the_row_asked_about_is_the_one_the_device_trains_on(study: Study, config: Config) -> None:
    """An update depends on the items of its row and on no other of the user's items, but for masked negatives."""
    short = config.model_copy(update={"model": config.model.model_copy(update={"history": 2})})
    training = AttackedTraining(training_only(defended(short, "plain", seed=5)), study, study.population)
    people = study.population
    user = int(people.histories.lengths.argmax())
    row = row_of(people, user, training.config, 1)
    assert len(row) == min(8, people.histories.lengths[user] // 2) + 2
    pool = training.request(1).arrays["pool"]
    rest = np.setdiff1d(np.setdiff1d(people.histories[user], row), pool)
    assert len(rest)
    without = ~((people.histories.owners == user) & np.isin(people.histories.items, rest[:1]))
    assert (~without).sum() == 1
    fewer = UserBatch(people.histories.where(without), keys=people.keys)
    if min(8, people.histories.lengths[user] // 2) == min(8, (people.histories.lengths[user] - 1) // 2):
        again = AttackedTraining(training.config, study, fewer)
        assert np.allclose(again.update(user, 1), training.update(user, 1), atol=1e-6)
