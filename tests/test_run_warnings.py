"""A run says first what its figures alone would hide; a private card says of it only what is public or was paid for."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import dp_accounting
import numpy as np
import pytest

from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.queries.device.popularity import used_items
from fedrec.queries.plan import warnings_of_sums
from fedrec.queries.popularity import POPULARITY
from fedrec.queries.registry import QUERIES
from fedrec.run_warnings import (
    FEWEST_USERS,
    LARGEST_DELTA,
    PRIVATE_POPULARITY,
    not_better_than_popularity,
    public_warnings,
    simulators_warnings,
)
from fedrec.simulation.private_popularity import private_popularity
from fedrec.simulation.run import settled, simulate
from fedrec.simulation.study import Study, prepare
from fedrec.simulation.summary import show_run

USERS, ITEMS = 60, 140
PRIVATE = {"epsilon_released": 8.0, "delta": 1e-3}


@pytest.mark.parametrize(
    ("privacy", "users", "words"),
    [
        (PRIVATE, FEWEST_USERS, []),
        ({**PRIVATE, "delta": LARGEST_DELTA}, 1000, []),
        ({**PRIVATE, "delta": 0.02}, 1000, ["1 in 50"]),
        ({"epsilon_released": None, "delta": 0.02}, 1000, []),
        ({**PRIVATE, "delta": 0.47}, 2, ["delta", "2 users take part"]),
        ({"epsilon_released": None, "delta": 0.02}, FEWEST_USERS - 1, ["there is no noise"]),
    ],
)
def test_of_public_facts(privacy: dict[str, Any], users: int, words: list[str]) -> None:
    said = public_warnings(privacy, users)
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))


@pytest.mark.parametrize(
    ("measures", "warns"),
    [
        ({"tower": 0.5, "factors": 0.4, "popularity": 0.45}, False),
        ({"tower": 0.3, "factors": 0.4, "popularity": 0.45}, True),
        ({"tower": 0.45, "popularity": 0.45}, True),
        ({"tower": None, "popularity": 0.45}, False),
        ({"tower": 0.3, "popularity": None}, False),
        ({"tower": 0.3}, False),
        ({"popularity": 0.3}, False),
    ],
)
def test_of_candidates_beside_popularity(measures: dict[str, float | None], warns: bool) -> None:
    said = not_better_than_popularity(measures, of="by a private sum")
    assert (said is not None) == warns
    if said is not None:
        assert "popularity" in said and "0.450" in said and "by a private sum" in said


def quality(hr: float | None) -> dict[str, Any]:
    return {"loo-99neg": {"hr@10": hr}}


@pytest.mark.parametrize(
    ("own", "private", "exact", "word"),
    [
        (0.5, 0.3, 0.4, None),
        (0.35, 0.3, 0.4, "by exact counts"),
        (0.25, 0.3, 0.4, "at the same epsilon"),
        (0.35, None, 0.4, "by exact counts"),
        (None, 0.3, 0.4, None),
    ],
)
def test_of_a_simulation(own: float | None, private: float | None, exact: float, word: str | None) -> None:
    beside = {"popularity": {"hr@10": exact}, PRIVATE_POPULARITY: private and {"hr@10": private}}
    said = simulators_warnings(quality(own), beside)
    assert len(said) == (word is not None)
    assert word is None or word in said[0]


def test_what_a_query_warns_of_goes_into_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warnings_of_sums({"popularity": np.zeros(3)}) == []
    monkeypatch.setattr(type(POPULARITY), "warnings", lambda self, result: (f"{len(result)} counts",))
    assert warnings_of_sums({"popularity": np.zeros(3)}) == ["3 counts"]
    own_words = {"popularity", "selection"}
    assert all(query.warnings(None) == () for query in QUERIES if query.name not in own_words)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People who choose by popularity and nothing else."""
    place = tmp_path_factory.mktemp("warned")
    rng = np.random.default_rng(4)
    chances = 1.0 / np.arange(1, ITEMS + 1)
    chosen = [rng.choice(ITEMS, 12, replace=False, p=chances / chances.sum()) for _ in range(USERS)]
    lines = [
        f"u{user},i{item},{at}" for user, items in enumerate(chosen) for at, item in enumerate(rng.permutation(items))
    ]
    (place / "interactions.csv").write_text("\n".join(["user,item,timestamp", *lines]) + "\n")
    (place / "items.csv").write_text("\n".join(["item,title", *(f"i{at},thing {at}" for at in range(ITEMS))]) + "\n")
    return place


def settings(epsilon: float | None, **privacy: Any) -> Config:
    """Of a run that ranks by nothing: all scores are alike, which is chance."""
    nothing = {"scoring": {"popularity_weight": 0.0}}
    tree = {
        "model": {"preset": "popularity-only"},
        "collaborative": nothing,
        "privacy": {"epsilon": epsilon, **privacy},
    }
    return from_tree(tree)


@pytest.fixture(scope="module")
def study(data: Path) -> Study:
    return prepare(settled(settings(1.0)), data, SilentReporter())


def test_private_popularity_has_the_noise_of_the_whole_budget(study: Study) -> None:
    exact = used_items(study.population, len(study.features), 1.0)
    found = []
    for seed in range(40):
        config = settled(from_tree({"run": {"seed": seed}, "privacy": {"epsilon": 1.0, "delta": 1e-3}}))
        noisy = private_popularity(config, study)
        assert noisy is not None and (noisy >= 0).all()
        found.append(noisy - exact)
    # What is below zero is cut off, which leaves the upper quantiles of the noise alone.
    size = float(np.quantile(np.concatenate(found), 0.9)) / 1.28155
    assert size == pytest.approx(dp_accounting.get_sigma_gaussian(1.0, 1e-3), rel=0.08)
    assert np.array_equal(noisy, private_popularity(config, study))
    assert private_popularity(settled(settings(None)), study) is None


def test_a_warning_is_first_on_terminal_and_report_and_a_private_card_has_what_is_public(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = simulate(settings(8.0, delta=0.02), data, tmp_path / "private", reporter=SilentReporter())
    delta, beaten = run["warnings"]
    assert "delta is 0.02" in delta and "does not beat" in beaten
    assert set(run["baselines"][PRIVATE_POPULARITY]) == {"hr@10", "ndcg@10"}
    card = (tmp_path / "private" / "model" / "MODEL_CARD.md").read_text()
    assert card.index("Warning: delta is 0.02") < card.index("## Trained on")
    assert "does not beat" not in card
    report = html.unescape((tmp_path / "private" / "report.html").read_text())
    assert report.index(delta) < report.index(beaten) < report.index("<h1")
    show_run(run, tmp_path / "private")
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.index("Warning: delta is 0.02") < printed.index("does not beat") < printed.index("Quality, the held")


def test_a_card_of_a_run_without_noise_says_that_popularity_is_as_good(data: Path, tmp_path: Path) -> None:
    run = simulate(settings(None), data, tmp_path / "bare", reporter=SilentReporter())
    assert run["baselines"][PRIVATE_POPULARITY] is None
    [beaten] = run["warnings"]
    card = (tmp_path / "bare" / "model" / "MODEL_CARD.md").read_text()
    assert "by exact counts" in beaten and "does not beat popularity by exact counts" in card
