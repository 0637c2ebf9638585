"""Plans: the known noise, the cross-checks in their order, and advice that holds when it is followed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon, epsilon_without_amplification, rounds_apart
from fedrec.privacy.calibrate import delta_for, plan
from fedrec.privacy.crosscheck import pld_epsilon, rdp_epsilon
from fedrec.privacy.planner import (
    Setting,
    epsilon_needed,
    least_population,
    make_plan,
    most_parameters,
    noise_alternatives,
)

DELTA = delta_for(6040)
KNOWN = Setting(6040, 100, 200, 3.0, parameters=200_000)
CYCLIC = replace(KNOWN, sampling="cyclic")


@pytest.mark.parametrize(("target", "known"), [(1.0, 6.55), (3.0, 2.50), (8.0, 1.11)])
def test_turns_without_amplification_cost_what_is_known(target: float, known: float) -> None:
    found = make_plan(replace(CYCLIC, epsilon=target))
    assert (found.cost.minimum_separation, found.cost.participations) == (61, 4)
    assert found.cost.noise_multiplier == pytest.approx(known, rel=0.01)
    assert found.epsilon_released == pytest.approx(target, rel=1e-3)


@pytest.mark.parametrize(("target", "known"), [(1.0, 3.3), (3.0, 1.25), (8.0, 0.55)])
def test_one_full_release_costs_what_is_known(target: float, known: float) -> None:
    found = make_plan(Setting(6040, 0, 1, target, sampling="full"))
    assert found.cost.noise_multiplier == pytest.approx(known, rel=0.01)


def test_a_cyclic_spend_is_counted_by_turns() -> None:
    participations = QueryCost("training", 5.0, 200, "cyclic", 1 / 61, 61)
    assert epsilon([participations], DELTA) == epsilon([QueryCost("training", 5.0, 4)], DELTA)
    assert epsilon_without_amplification([participations], DELTA) == epsilon([participations], DELTA)
    assert [replace(participations, rounds=n).participations for n in (1, 61, 62, 183, 184)] == [1, 1, 2, 3, 4]
    assert rounds_apart(6040, 100) == 61
    with pytest.raises(PrivacyError, match="separation"):
        QueryCost("training", 5.0, 200, "poisson", 0.1, 61)
    with pytest.raises(PrivacyError, match="separation"):
        QueryCost("training", 5.0, 200, "cyclic", 0.1, 0)


def test_a_budget_shared_with_a_cyclic_query_is_met() -> None:
    shares = {"popularity": 0.2, "training": 0.8}
    sampling = {"training": ("cyclic", 1 / 61)}
    costs = plan(3.0, DELTA, shares, {"popularity": 1, "training": 200}, sampling, {"training": 61})  # type: ignore[arg-type]
    assert epsilon(costs, DELTA) == pytest.approx(3.0, rel=1e-3)
    parts = [cost.participations / cost.noise_multiplier**2 for cost in costs]
    assert parts[1] / parts[0] == pytest.approx(4.0)


@pytest.mark.slow
@pytest.mark.parametrize("setting", [KNOWN, CYCLIC, replace(KNOWN, epsilon=1.0)])
def test_looser_accountants_are_looser(setting: Setting) -> None:
    found = make_plan(setting)
    figure = found.epsilon_released
    assert figure * (1 - 1e-6) <= pld_epsilon([found.cost], DELTA) <= figure * 1.002
    assert pld_epsilon([found.cost], DELTA) < rdp_epsilon([found.cost], DELTA) < 1.5 * figure
    assert pld_epsilon([], DELTA) == rdp_epsilon([], DELTA) == 0.0


def test_the_server_has_a_bound_only_where_devices_add_the_noise() -> None:
    assert make_plan(KNOWN).epsilon_server is None
    spread = make_plan(replace(KNOWN, place="distributed", lost=0.2))
    assert spread.epsilon_server == epsilon_without_amplification([spread.cost], DELTA)
    assert spread.added == pytest.approx(spread.cost.noise_multiplier / 0.8**0.5)


def test_signal_to_noise_by_hand() -> None:
    found = make_plan(CYCLIC)
    noise_norm = found.cost.noise_multiplier * 200_000**0.5 / 100
    assert found.per_round == pytest.approx(0.3 / noise_norm)
    assert found.over_run == pytest.approx(0.3 * 200**0.5 / noise_norm)


@pytest.mark.slow
def test_advice_holds_when_it_is_followed() -> None:
    found, ratio = make_plan(CYCLIC), 1.0
    assert found.over_run < ratio
    smaller = make_plan(replace(CYCLIC, parameters=most_parameters(found, ratio)))
    assert ratio <= smaller.over_run < 1.01 * ratio
    more = least_population(found, ratio)
    assert more is not None
    assert ratio <= more.over_run < 1.05 * ratio
    assert make_plan(more.setting).over_run == more.over_run
    looser = make_plan(replace(CYCLIC, epsilon=epsilon_needed(found, ratio) * 1.001))
    assert looser.over_run == pytest.approx(ratio, rel=0.01)
    others = noise_alternatives(found)
    assert [other.over_run for other in others] == sorted((other.over_run for other in others), reverse=True)
    assert ("cyclic", "banded") in [(other.setting.sampling, other.setting.noise) for other in others]
    assert all(other.epsilon_released <= 3.0 for other in others)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"noise": "banded", "sampling": "poisson"}, "cyclic cohorts"),
        ({"noise": "banded", "sampling": "cyclic", "place": "distributed"}, "by the server"),
        ({"bands": 4}, "banded noise"),
        ({"rounds": 0}, "rounds"),
        ({"coherence": 2.0}, "coherence"),
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(PrivacyError, match=words):
        replace(KNOWN, **wrong)  # type: ignore[arg-type]


def test_too_many_bands_are_refused() -> None:
    with pytest.raises(PrivacyError, match="61 bands"):
        make_plan(replace(CYCLIC, noise="banded", bands=62))
