"""Ratings through a whole run: predicted better than by each user's mean, in the release, on the device, in both
engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrec.client.ranker import Ranker
from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.data.schema import Event
from fedrec.errors import DataError
from fedrec.privacy.ledger import Ledger
from fedrec.release.bundle import read_release
from fedrec.simulation.rating_quality import held_out_ratings
from fedrec.simulation.run import settled, simulate
from fedrec.simulation.study import prepare
from fedrec.simulation.summary import show_run

USERS, ITEMS, EACH = 60, 20, 12
PREDICT = {"ratings": {"predict": True}}


def write(place: Path, *, users: int = USERS, rated: bool = True) -> Path:
    """People with a level of their own, and items of which some are rated higher by everybody."""
    place.mkdir()
    rng = np.random.default_rng(2)
    biases, levels = rng.normal(0, 0.9, ITEMS), rng.normal(3, 0.5, users)
    lines = [f"user,item{',rating' if rated else ''},timestamp"]
    for user in range(users):
        for at, item in enumerate(rng.permutation(ITEMS)[:EACH]):
            rating = float(np.clip(np.rint(levels[user] + biases[item] + rng.normal(0, 0.3)), 1, 5))
            lines.append(f"u{user},i{item}{f',{rating}' if rated else ''},{at}")
    (place / "interactions.csv").write_text("\n".join(lines) + "\n")
    (place / "items.csv").write_text("\n".join(["item,title", *(f"i{at},thing {at}" for at in range(ITEMS))]) + "\n")
    return place


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("ratings") / "rated")


def settings(epsilon: float | None = None, **sections: Any) -> Config:
    tree: dict[str, Any] = {"model": {"preset": "popularity-only"}, "collaborative": PREDICT, **sections}
    return from_tree({**tree, "privacy": {"epsilon": epsilon, "delta": 1e-3}})


def simulated(config: Config, data: Path, out: Path) -> dict[str, Any]:
    return simulate(config, data, out, reporter=SilentReporter())


@pytest.mark.parametrize("epsilon", [None, 20.0])
def test_biases_of_items_predict_better_than_each_users_mean(
    epsilon: float | None, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = simulated(settings(epsilon), data, tmp_path / "run")
    found = run["quality"]["ratings"]
    assert found["users"] == USERS
    assert found["rmse"] < (0.6 if epsilon is None else 0.9) * found["baseline_rmse"]
    assert found["pearson"] > (0.85 if epsilon is None else 0.6)
    with Ledger.open(tmp_path / "run" / "ledger.sqlite") as ledger:
        asked = {row.query for row in ledger.entries() if row.cost is not None}
    assert ("ratings" in asked) == (epsilon is not None)
    show_run(run, tmp_path / "run")
    assert "RMSE" in capsys.readouterr().out
    assert "RMSE" in (tmp_path / "run" / "report.html").read_text()
    release = read_release(tmp_path / "run" / "model")
    assert release.contents.collaborative is not None and release.contents.collaborative.ratings is not None
    ranker, events = Ranker(release), [Event("i0", 1, 5.0), Event("i1", 2, 4.0)]
    ratings = [one.rating for one in ranker.recommend_for(events, 3)]
    assert all(rating is not None and 1 <= rating <= 5 for rating in ratings) and len(set(ratings)) > 1
    assert [one.rating for one in ranker.recommend_for([Event("i0", 1)], 3)] == [None] * 3


def test_the_engine_of_messages_finds_the_same(tmp_path: Path) -> None:
    data = write(tmp_path / "few", users=8)
    sections = {
        "collaborative": {"ratings": {"predict": True, "weight": 1.0}},
        "data": {"positive_ratings": 3.0},
        "secure_aggregation": {"protocol": "none"},
    }
    arrays = []
    for engine in ("cohort", "grid"):
        simulated(settings(run={"engine": engine}, **sections), data, tmp_path / engine)
        contents = read_release(tmp_path / engine / "model").contents
        assert contents.collaborative is not None
        arrays.append(contents.collaborative.arrays())
    assert arrays[0].keys() == arrays[1].keys() >= {"popularity", "ratings"}
    for name in arrays[0]:
        assert np.allclose(arrays[0][name], arrays[1][name], atol=2e-3)


def test_what_is_not_asked_for_is_null_and_not_in_the_release(data: Path, tmp_path: Path) -> None:
    run = simulated(settings(collaborative={}), data, tmp_path / "run")
    assert run["quality"]["ratings"] is None
    contents = read_release(tmp_path / "run" / "model").contents
    assert contents.collaborative is not None and contents.collaborative.ratings is None
    assert [one.rating for one in Ranker(read_release(tmp_path / "run" / "model")).recommend_for([], 2)] == [None] * 2


def test_of_data_without_ratings_it_is_said_that_they_are_not_used(tmp_path: Path) -> None:
    asked = settings(8.0, data={"positive_ratings": 4.0})
    run = simulated(asked, write(tmp_path / "bare", rated=False), tmp_path / "run")
    [said] = [line for line in run["data"]["left_out_of_settings"] if line.startswith("ratings")]
    assert "not used" in said and "data.positive_ratings" in said and "collaborative.ratings.predict" in said
    assert run["config"]["data"]["positive_ratings"] == "all" and run["quality"]["ratings"] is None
    assert run["config_asked"]["data"]["positive_ratings"] == 4.0
    assert {cost["query"] for cost in run["privacy"]["queries"]} == {"popularity"}


def test_ratings_beyond_their_range_are_said_to_be_cut(data: Path, tmp_path: Path) -> None:
    narrow = settings(8.0, collaborative={"ratings": {"predict": True, "highest": 4.0}})
    assert any("beyond the range from 1 to 4" in said for said in simulated(narrow, data, tmp_path / "run")["warnings"])
    assert "beyond the range" not in (tmp_path / "run" / "model" / "MODEL_CARD.md").read_text()
    assert not any("beyond" in said for said in simulated(settings(), data, tmp_path / "whole")["warnings"])


def test_where_nothing_is_positive_it_is_said_what_to_set(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.positive_ratings"):
        simulated(settings(data={"positive_ratings": 6.0}), data, tmp_path / "run")


def test_what_was_rated_low_is_not_in_the_sums_and_not_recommended_again(data: Path, tmp_path: Path) -> None:
    config = settings(data={"positive_ratings": 4.0})
    study = prepare(settled(config), data, SilentReporter())
    table = study.dataset.interactions
    low = {(int(user), int(item)) for user, item in zip(table.user, table.item, strict=True)}
    low -= {(int(u), int(i)) for u, i, r in zip(table.user, table.item, table.rating, strict=True) if r >= 4}
    trained = set(
        zip(study.population.histories.owners.tolist(), study.population.histories.items.tolist(), strict=True)
    )
    assert low and not low & trained
    truth = held_out_ratings(study.dataset, study.held_out.target, config.collaborative.ratings)
    assert (truth[study.held_out.target >= 0] >= 4).all()
    simulated(config, data, tmp_path / "run")
    ranker = Ranker(read_release(tmp_path / "run" / "model"))
    events = [Event("i0", 1, 1.0), Event("i1", 2, 5.0)]
    listed = [one.item for one in ranker.recommend_for(events, ITEMS)]
    assert len(listed) == ITEMS - 2 and not {"i0", "i1"} & set(listed)
    assert ranker.known_of(events).histories.items.tolist() == [1]
