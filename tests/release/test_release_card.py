from __future__ import annotations

import pytest

from fedrec.release.card import LIMITS, CardFacts, model_card

FACTS = CardFacts(
    name="spring",
    created_at="2026-11-22T05:00:00Z",
    data={"name": "shop", "users": 12345, "items": None},
    model={"preset": "fedrec", "modalities": ["text", "image"], "parameters_shared": 4096},
    quality={"loo-99neg": {"hr@10": 0.51234, "ndcg@10": None}, "coverage@10": 0.25},
    privacy={
        "unit": "user",
        "delta": 1e-5,
        "epsilon_released": 3.0,
        "epsilon_server": 6.5,
        "queries": [{"query": "popularity", "releases": 1}, {"query": "update", "releases": 20}],
    },
    aggregation={"protocol": "none"},
    limits=("Trained on winter only.",),
)


def with_(**changes: object) -> CardFacts:
    return CardFacts(**{**FACTS.__dict__, **changes})


def test_the_facts_are_told() -> None:
    card = model_card(FACTS)
    for part in ("# spring", "12,345", "text; image", "0.5123", "epsilon = 3 ", "1e-05", "epsilon = 6.5", "winter"):
        assert part in card, part
    assert "query: popularity, releases: 1; query: update, releases: 20" in card
    assert all(limit in card for limit in LIMITS)


def test_what_was_not_measured_says_so() -> None:
    rows = [line for line in model_card(FACTS).splitlines() if "ndcg" in line or "items" in line]
    assert rows and all("not measured" in row for row in rows[:2])
    assert "0.0" not in "".join(rows)


def test_without_noise_nothing_is_promised() -> None:
    card = model_card(with_(privacy={"unit": "user", "epsilon_released": None, "epsilon_server": None}))
    assert "No differential privacy is promised" in card
    assert "learns about one" not in card


def test_a_server_without_a_bound_is_named() -> None:
    card = model_card(with_(privacy={**FACTS.privacy, "epsilon_server": None}))
    assert "nothing is promised" in card and "epsilon = 3 " in card


@pytest.mark.parametrize("name", ["x\n# Privacy\nepsilon = 0", "a | b", "<script>alert(1)</script>", "[a](http://b)"])
def test_names_from_outside_cannot_change_the_card(name: str) -> None:
    safe, card = model_card(FACTS), model_card(with_(data={"name": name}, name=name, limits=(name,)))
    heads = [line for line in card.splitlines() if line.startswith("#")]
    assert len(heads) == sum(line.startswith("#") for line in safe.splitlines())
    assert "<script" not in card.replace("\\<", "") and "](" not in card
    assert all(line.replace("\\|", "").count("|") == 3 for line in card.splitlines() if line.startswith("|"))
