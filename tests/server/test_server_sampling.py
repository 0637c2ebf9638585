"""Who takes part when: turns that are apart as accounted, and keys that outlive a restart."""

from __future__ import annotations

import math
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedrec import randomness
from fedrec.config import Config, from_tree
from fedrec.errors import ConfigError, PrivacyError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.banded_noise import chosen_bands
from fedrec.privacy.run_plan import minimum_separation_of, probability_of, share_of
from fedrec.queries.cohorts import are_public
from fedrec.queries.plan import costs_of
from fedrec.server.keys import RunKeys
from fedrec.server.sampling import Sampler
from fedrec.server.state import ServerState

KEY = randomness.key(1, "cohorts")


def config(cohort: int, sampling: str = "cyclic", **privacy: Any) -> Config:
    return from_tree({"training": {"cohort": cohort, "sampling": sampling, "rounds": 200}, "privacy": privacy})


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 300), st.integers(1, 320))
def test_turns_are_exactly_as_far_apart_as_accounted(devices: int, cohort: int) -> None:
    sampler = Sampler(config(cohort), devices, KEY)
    groups = minimum_separation_of(config(cohort), devices)
    first = [sampler.cohort(number) for number in range(1, groups + 1)]
    assert sorted(place for group in first for place in group) == list(range(devices))  # everybody once
    assert max(map(len, first)) <= max(cohort, 1)
    assert max(map(len, first)) - min(map(len, first)) <= 1
    assert all(list(sampler.cohort(number + groups)) == list(first[number - 1]) for number in range(1, groups + 1))
    assert share_of(config(cohort), devices) == pytest.approx(np.mean([len(group) for group in first]) / devices)


def test_the_deal_is_random_and_another_key_deals_otherwise() -> None:
    one, other = (Sampler(config(100), 6040, randomness.key(seed, "cohorts")) for seed in (1, 2))
    assert one.cohort(1) != other.cohort(1)
    together = len(set(one.cohort(1)) & set(other.cohort(1)))
    assert together < 15  # of 99; 1.6 are expected
    assert abs(float(np.mean(one.cohort(1))) - 3020) < 5 * 6040 / (12 * 99) ** 0.5


def test_keys_of_a_secret_run_outlive_a_restart_and_are_its_own(tmp_path: Path) -> None:
    secret, public = config(100), from_tree({"run": {"seed": 4, "reproducible": True}})
    path = tmp_path / "server.sqlite"
    with ServerState(path, "r") as state:
        before = RunKeys(secret, state).of("cohorts")
        assert RunKeys(secret, state).of("noise", "training", 1) != before
        assert not state.begun
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with ServerState(path, "r") as state:
        assert RunKeys(secret, state).of("cohorts") == before
        assert RunKeys(public, state).of("cohorts") == randomness.key(4, "cohorts")
        kept = state.secret()
        assert kept in path.read_bytes()
        state.forget_secret()
        assert kept not in path.read_bytes()  # overwritten, not only unlinked
        assert RunKeys(secret, state).of("cohorts") != before
    with ServerState(None, "r") as state:
        assert RunKeys(secret, state).of("cohorts") != before


def test_a_cyclic_run_is_planned_by_turns() -> None:
    (cost,) = [s for s in costs_of(config(100, epsilon=3.0, shares=_ALL), 6040) if s.query == "training"]
    assert (cost.sampling, cost.minimum_separation, cost.participations) == ("cyclic", 61, 4)
    assert cost.probability == pytest.approx(1 / 61)


_ALL = {"popularity": 0.1, "cooccurrence": 0.5, "training": 0.4}


def test_amplification_is_claimed_only_where_rows_are_drawn_independently() -> None:
    drawn = config(10, "poisson", epsilon=3.0, shares=_ALL)

    def training(settled: Config, users: int, devices: int) -> QueryCost:
        return next(s for s in costs_of(settled, users, devices) if s.query == "training")

    alone = training(drawn, 100, 100)
    assert alone.amplified
    assert alone.probability == pytest.approx(0.1)
    # 10 of 20 devices are asked, each of five users: half of all users come, and five come together
    shared = training(drawn, 100, 20)
    assert not shared.amplified
    assert shared.probability == pytest.approx(0.5)
    assert shared.noise_multiplier > 2 * alone.noise_multiplier
    examples = training(config(10, "poisson", epsilon=3.0, delta=1e-4, unit="example", shares=_ALL), 100, 100)
    assert not examples.amplified


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 400), st.integers(1, 200), st.integers(0, 2**32))
def test_devices_that_are_dealt_by_themselves_come_once_in_so_many_rounds(devices: int, cohort: int, seed: int) -> None:
    settled = config(cohort, "balls-in-bins")
    sampler, groups = (
        Sampler(settled, devices, randomness.key(seed, "cohorts")),
        minimum_separation_of(settled, devices),
    )
    first = [list(sampler.cohort(number)) for number in range(1, groups + 1)]
    assert sorted(place for group in first for place in group) == list(range(devices))
    assert all(list(sampler.cohort(number + groups)) == first[number - 1] for number in range(1, groups + 1))
    assert share_of(settled, devices) == 1 / groups


def test_each_device_is_dealt_by_itself_and_evenly() -> None:
    """Groups by 400 keys: as even as chance has it, and of two devices as often the same as one in so many."""
    groups, keys = 10, [randomness.key(seed, "cohorts") for seed in range(400)]
    samplers = [Sampler(config(20, "balls-in-bins"), 200, key) for key in keys]
    dealt = np.stack([sampler._bins() for sampler in samplers])
    counts = np.stack([np.bincount(dealt[:, place], minlength=groups) for place in range(200)])
    assert stats.chi2.sf(((counts - 40) ** 2 / 40).sum(), 200 * (groups - 1)) > 1e-6
    sizes = np.stack([np.bincount(one, minlength=groups) for one in dealt])
    assert sizes.var() == pytest.approx(200 * 0.1 * 0.9, rel=0.15)  # a deal into equal groups has none
    together = float((dealt[:, :-1] == dealt[:, 1:]).mean())
    assert abs(together - 1 / groups) < 6 * math.sqrt(0.09 / (400 * 199))


@pytest.mark.parametrize("groups", [1, 4, 9])
def test_poisson_samples_of_groups_come_in_their_groups_rounds_only(groups: int) -> None:
    tree = {"training": {"cohort": 60, "sampling": "cyclic-poisson", "groups": groups, "rounds": 200}}
    settled, devices = from_tree(tree), 2000
    sampler = Sampler(settled, devices, KEY)
    assert sampler.probability == probability_of(settled, devices) == pytest.approx(0.03 * groups)
    drawn = np.zeros((200, devices), dtype=bool)
    for number in range(200):
        drawn[number, list(sampler.cohort(number + 1))] = True
    group_of = np.stack([drawn[start::groups].any(0) for start in range(groups)])
    assert (group_of.sum(0) <= 1).all()
    assert drawn.sum(1).mean() == pytest.approx(60, rel=0.05)
    assert drawn.sum(1).var() == pytest.approx(60 * (1 - sampler.probability), rel=0.35)
    # Of one device, drawn anew each time: neighbours in its group's rounds are independent.
    mine = [drawn[int(group_of[:, place].argmax()) :: groups, place] for place in range(devices)]
    again = np.mean([(one[1:] & one[:-1]).mean() for one in mine])
    assert again == pytest.approx(sampler.probability**2, rel=0.25)
    assert sampler.cohort(3) == Sampler(settled, devices, KEY).cohort(3)


def test_groups_that_are_too_many_are_asked_whole() -> None:
    settled = from_tree({"training": {"cohort": 60, "sampling": "cyclic-poisson", "groups": 50, "rounds": 200}})
    sampler = Sampler(settled, 1000, KEY)
    assert sampler.probability == 1.0
    assert [len(sampler.cohort(number)) for number in range(1, 51)] == [20] * 50


def test_another_number_of_groups_is_another_deal() -> None:
    """Which is why costs of two such deals compose."""
    ten, five = (Sampler(config(cohort, "balls-in-bins"), 2000, KEY)._bins() for cohort in (200, 400))
    assert abs(float(np.corrcoef(ten, five)[0, 1])) < 6 / math.sqrt(2000)


@pytest.mark.slow
def test_secret_cohorts_are_amplified_and_others_are_not() -> None:
    def training(sampling: str, users: int = 200, devices: int = 200, **more: Any) -> QueryCost:
        tree = {
            "training": {"cohort": 10, "sampling": sampling, "rounds": 60, **more},
            "privacy": {"epsilon": 3.0, "shares": _ALL},
        }
        return next(s for s in costs_of(from_tree(tree), users, devices) if s.query == "training")

    fixed, secret = training("fixed"), training("fixed", secret_cohorts=True)
    assert not fixed.amplified and not fixed.secret
    assert secret.amplified and secret.noise_multiplier < fixed.noise_multiplier / 3
    cyclic, dealt = training("cyclic"), training("balls-in-bins")
    assert not cyclic.amplified
    assert dealt.amplified and dealt.noise_multiplier < cyclic.noise_multiplier
    assert dealt.participations == cyclic.participations == 3
    # Where a device holds several users they come together, and whoever knows the others knows the cohort.
    for sampling, more in (("fixed", {"secret_cohorts": True}), ("balls-in-bins", {})):
        assert not training(sampling, users=400, **more).amplified
    assert training("cyclic-poisson", groups=4).amplified
    with pytest.raises(ConfigError, match="one row"):
        training("cyclic-poisson", users=400, groups=4)


@pytest.mark.parametrize("sampling", ["full", "poisson", "fixed", "cyclic", "balls-in-bins", "cyclic-poisson"])
@pytest.mark.parametrize("secret", [False, True])
def test_nothing_is_claimed_for_cohorts_that_devices_recompute(sampling: str, secret: bool) -> None:
    """What is amplified is drawn from the server's own key, and what follows from the manifest's seed is not."""
    more = {"secret_cohorts": True} if secret and sampling == "fixed" else {}
    tree = {"training": {"cohort": 10, "sampling": sampling, "rounds": 60, **more}}
    settled = from_tree({**tree, "privacy": {"epsilon": 3.0, "shares": _ALL}})
    cost = next(one for one in costs_of(settled, 200, 200) if one.query == "training")
    assert cost.amplified is not are_public(settled)


def test_bands_must_fit_between_two_participations() -> None:
    cost = QueryCost("training", 3.0, 200, "cyclic", 1 / 61, 61)
    assert chosen_bands(30, cost) == 30
    assert 30 < chosen_bands(0, cost) <= 61
    with pytest.raises(ConfigError, match="61"):
        chosen_bands(62, cost)


@pytest.mark.parametrize(
    ("training", "privacy", "words"),
    [
        ({"sampling": "poisson", "cohort": 9}, {"noise": "banded"}, "cyclic"),
        ({"sampling": "cyclic"}, {"noise": "banded"}, "cohort"),
        ({}, {"bands": 3}, "banded"),
        ({"sampling": "balls-in-bins", "cohort": 9}, {"noise_place": "distributed"}, "balls-in-bins"),
        ({"sampling": "balls-in-bins", "cohort": 9}, {"noise": "banded"}, "cyclic"),
        ({"sampling": "cyclic-poisson", "cohort": 9, "groups": 2}, {"noise_place": "distributed"}, "cyclic-poisson"),
        ({"sampling": "cyclic", "cohort": 9, "groups": 2}, {}, "groups"),
        ({"sampling": "cyclic", "cohort": 9, "secret_cohorts": True}, {}, "fixed"),
        ({"sampling": "fixed", "cohort": 9, "secret_cohorts": True}, {"noise_place": "distributed"}, "server"),
    ],
)
def test_settings_that_cannot_be_are_refused(training: dict[str, Any], privacy: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_tree({"training": training, "privacy": privacy})


def test_groups_too_small_for_secure_aggregation_are_refused() -> None:
    tree = {"training": {"cohort": 20, "sampling": "cyclic"}, "secure_aggregation": {"protocol": "secagg+"}}
    with pytest.raises(ConfigError, match="below 20"):
        Sampler(from_tree(tree), 21, KEY)  # dealt into 10 and 11
    Sampler(from_tree(tree), 40, KEY)


def test_a_spend_without_separation_still_loads() -> None:
    old = {"query": "training", "noise_multiplier": 2.0, "rounds": 1, "sampling": "full", "probability": 1.0}
    assert QueryCost(**old).minimum_separation == 1  # type: ignore[arg-type]
    with pytest.raises(PrivacyError):
        QueryCost("training", 2.0, 5, "cyclic", 0.5, True)
