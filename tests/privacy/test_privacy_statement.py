"""The privacy statement: all keys, no invented figures, the right words."""

from __future__ import annotations

import json

import pytest

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon, epsilon_without_amplification
from fedrec.privacy.statement import privacy_statement

DELTA = 1e-5
KEYS = {"unit", "delta", "epsilon_released", "epsilon_server", "accountant", "mechanism", "sampling"}
KEYS |= {"noise_multiplier", "trust", "adjacency", "queries"}
FULL = [QueryCost("popularity", 4.0), QueryCost("training", 9.0, 20)]
SAMPLED = [QueryCost("popularity", 4.0), QueryCost("training", 0.9, 20, "poisson", 0.02)]


def test_a_run_without_noise_claims_nothing() -> None:
    statement = privacy_statement([], unit="user", delta=DELTA)
    assert set(statement) >= KEYS
    for key in ("epsilon_released", "epsilon_server", "noise_multiplier", "mechanism", "accountant", "sampling"):
        assert statement[key] is None
    assert "no noise" in statement["epsilon_server_reason"]
    assert statement["queries"] == []


def test_full_participation_with_a_server_that_sees_all() -> None:
    statement = privacy_statement(FULL, unit="user", delta=DELTA, headline={"training"})
    assert statement["epsilon_released"] == epsilon(FULL, DELTA)
    assert statement["epsilon_server"] is None
    assert statement["epsilon_server_reason"] == "unbounded: the server sees every contribution"
    assert (statement["noise_multiplier"], statement["noise_multiplier_of"]) == (9.0, "training")
    assert statement["sampling"] == "full"
    assert "exact" in statement["accountant"]
    assert [query["query"] for query in statement["queries"]] == ["popularity", "training"]
    assert not any(query["amplification_claimed"] for query in statement["queries"])
    assert "secret" not in json.dumps(statement["trust"])
    assert set(json.loads(json.dumps(statement, allow_nan=False))) >= KEYS


def test_amplification_is_claimed_for_the_model_and_never_against_the_server() -> None:
    statement = privacy_statement(SAMPLED, unit="user", delta=DELTA, protocol="masks", noise_place="distributed")
    assert statement["epsilon_released"] == epsilon(SAMPLED, DELTA)
    assert statement["epsilon_server"] == epsilon_without_amplification(SAMPLED, DELTA) > statement["epsilon_released"]
    assert statement["epsilon_server_reason"] is None
    assert "PLD" in statement["accountant"]
    assert any("stays secret" in sentence for sentence in statement["trust"])
    assert any("masks" in sentence for sentence in statement["trust"])


def test_noise_at_the_server_gives_no_bound_against_it_whatever_the_protocol() -> None:
    statement = privacy_statement(SAMPLED, unit="user", delta=DELTA, protocol="masks", noise_place="server")
    assert statement["epsilon_server"] is None
    assert "before it adds the noise" in statement["epsilon_server_reason"]


def test_turns_and_correlated_noise_are_told() -> None:
    participations = [QueryCost("training", 2.5, 200, "cyclic", 1 / 61, 61)]
    statement = privacy_statement(participations, unit="user", delta=DELTA, mechanisms={"training": "banded"})
    assert statement["epsilon_released"] == epsilon([QueryCost("training", 2.5, 4)], DELTA)
    assert "banded" in statement["mechanism"]
    assert "stay as they are" in statement["adjacency"]
    assert (statement["queries"][0]["minimum_separation"], statement["queries"][0]["participations"]) == (61, 4)
    assert (
        "banded"
        not in privacy_statement(FULL[:1], unit="user", delta=DELTA, mechanisms={"training": "banded"})["mechanism"]
    )


def test_adjacency_names_the_unit_and_is_one_relation_everywhere() -> None:
    assert "one user" in privacy_statement(FULL, unit="user", delta=DELTA)["adjacency"]
    assert "one interaction" in privacy_statement(FULL, unit="example", delta=DELTA)["adjacency"]
    fixed = privacy_statement([QueryCost("training", 2.0, 5, "fixed", 0.1)], unit="user", delta=DELTA)
    for costs in ([], FULL, SAMPLED, [QueryCost("training", 2.0, 5, "fixed", 0.1)]):
        for place in ("server", "distributed"):
            stated = privacy_statement(costs, unit="user", delta=DELTA, noise_place=place)["adjacency"]
            assert stated == fixed["adjacency"]
            assert "replaced by nothing" in stated and "added or taken away" not in stated
    local = privacy_statement([], unit="example", delta=DELTA, noise_place="local", promised=1.0)["adjacency"]
    assert "replaced by nothing" in local and "number of a device's interactions" in local
    assert fixed["epsilon_released"] == epsilon([QueryCost("training", 2.0, 5)], DELTA)
    assert fixed["sampling"] == "fixed"


def test_without_training_the_least_noise_is_shown() -> None:
    statement = privacy_statement(
        [QueryCost("popularity", 4.0), QueryCost("cooccurrence", 2.0)], unit="user", delta=DELTA
    )
    assert (statement["noise_multiplier"], statement["noise_multiplier_of"]) == (2.0, "cooccurrence")
    assert statement["noise_multiplier_equivalent"] == pytest.approx((1 / 16 + 1 / 4) ** -0.5)


def test_the_chance_of_small_samples_is_stated_in_delta_and_not_spent_on_noise() -> None:
    with_it = privacy_statement(SAMPLED, unit="user", delta=DELTA, delta_of_samples=3e-7)
    assert with_it["delta"] == DELTA + 3e-7 and with_it["delta_of_samples"] == 3e-7
    assert with_it["epsilon_released"] == privacy_statement(SAMPLED, unit="user", delta=DELTA)["epsilon_released"]


def test_an_absurd_delta_is_refused() -> None:
    with pytest.raises(PrivacyError, match="delta"):
        privacy_statement([], unit="user", delta=0.0)
