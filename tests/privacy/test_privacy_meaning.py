"""What an epsilon means: known answers, and laws that any honest conversion obeys."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.meaning import advantage, exact_advantage, odds_ratio
from fedrec.privacy.page import facts_of, page_of
from fedrec.privacy.statement import privacy_statement

DELTA = 1e-5


def test_known_answers() -> None:
    assert odds_ratio(math.log(3)) == pytest.approx(3)
    assert advantage(math.log(3), 0.0) == pytest.approx(0.5)
    assert advantage(0.0, 0.01) == pytest.approx(0.01)
    assert exact_advantage([QueryCost("training", 1.0)]) == pytest.approx(0.3829, abs=1e-4)  # 2 Phi(1/2) - 1
    assert exact_advantage([QueryCost("training", 1.0, 4)]) == pytest.approx(0.6827, abs=1e-4)  # 2 Phi(1) - 1
    assert exact_advantage([QueryCost("training", 1.0, 4, "poisson", 0.5)]) is None


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 50), st.integers(1, 50))
def test_the_exact_advantage_is_never_above_the_bound(noise: float, rounds: int) -> None:
    costs = [QueryCost("training", noise, rounds)]
    exact = exact_advantage(costs)
    assert exact is not None
    assert exact <= advantage(epsilon(costs, DELTA), DELTA) + 1e-9


def page(costs: list[QueryCost], **named: object) -> str:
    statement = privacy_statement(costs, unit=named.pop("unit", "user"), delta=DELTA, **named)  # type: ignore[arg-type]
    kept = {**statement, "ledger": {"head": "ab", "rows": len(costs), "users": 5000}}
    return page_of(facts_of(kept, population=5000, name="shop", verified=[]))


def test_the_page_answers_what_a_reader_asks() -> None:
    said = page([QueryCost("popularity", 8.0), QueryCost("training", 9.0, 20)])
    for request in ("protected", "strong", "kept", "cost", "Groups", "trusted", "not covered", "checked"):
        assert any(line.startswith("## ") and request in line for line in said.splitlines()), request
    assert "5,000 users" in said
    assert "unbounded: the server sees every contribution" in said
    assert "| training | 20 | 9 | full | 1 | no |" in said
    assert "amplification by sampling is claimed" not in said.replace("no amplification by sampling is claimed", "")
    assert "all that was said holds" in said


def test_the_page_of_sampling_claims_amplification_and_of_examples_speaks_of_persons() -> None:
    said = page([QueryCost("training", 1.0, 20, "poisson", 0.01)], unit="example")
    assert "; amplification by sampling is claimed" in said
    assert "5 interactions together" in said
    assert "group of 5" in said


def test_the_page_of_a_run_without_noise_promises_nothing() -> None:
    said = page([])
    assert "**Nothing is promised.**" in said
    assert "epsilon =" not in said


def test_the_page_says_what_does_not_hold() -> None:
    statement = privacy_statement([QueryCost("training", 9.0)], unit="user", delta=1e-3)
    said = page_of(facts_of(statement, population=5000, name="a\n## shop", verified=["head: another"]))
    assert "does not hold" in said
    assert "head: another" in said
    assert "NOT below" in said
    assert "\n## shop" not in said
