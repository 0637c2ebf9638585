"""One interaction, where it is what is protected: it decides about itself alone, its catalogue is public, and a delta
is below one in the number of interactions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.config import from_tree
from fedrec.data.reader import read_dataset
from fedrec.data.schema import TEST, UNSPLIT, VALID, Dataset, Interactions, ItemRecord, LeaveOneOut
from fedrec.data.sources import read_data
from fedrec.data.splits import Split, split
from fedrec.errors import ConfigError, DataError
from fedrec.privacy.calibrate import delta_for
from fedrec.privacy.run_plan import delta_of, with_interactions_counted
from fedrec.queries.plan import costs_of

ITEMS = 40
Row = tuple[int, int, int]  # user, item, mark


def dataset(rows: list[Row], evaluation: LeaveOneOut | None = None) -> Dataset:
    """Users 0 to 3; a user's rows in time order."""
    ordered = sorted(rows, key=lambda row: row[0])
    user, item, mark = (list(column) for column in zip(*ordered, strict=True)) if ordered else ([], [], [])
    return Dataset(
        "case",
        None,
        tuple(f"u{at}" for at in range(4)),
        tuple(ItemRecord(f"i{at}", "") for at in range(ITEMS)),
        Interactions(
            np.array(user, np.int32),
            np.array(item, np.int32),
            np.full(len(user), np.nan, np.float32),
            np.arange(len(user), dtype=np.int64),
            np.array(mark, np.int8),
        ),
        evaluation=evaluation,
    )


def trained(found: Split) -> set[tuple[int, int]]:
    return set(zip(found.training.owners.tolist(), found.training.items.tolist(), strict=True))


def changed(rows: list[Row], gone: int, unit: str, evaluation: LeaveOneOut | None = None) -> int:
    """How many interactions of training change when one is replaced by nothing."""
    left = rows[:gone] + rows[gone + 1 :]
    with_it = trained(split(dataset(rows, evaluation), seed=5, unit=unit))  # type: ignore[arg-type]
    return len(with_it ^ trained(split(dataset(left, evaluation), seed=5, unit=unit)))  # type: ignore[arg-type]


histories = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, ITEMS - 1)), min_size=1, max_size=30, unique=True
).flatmap(lambda pairs: st.tuples(st.just(pairs), st.integers(0, len(pairs) - 1)))


@settings(max_examples=300)
@given(histories)
def test_an_interaction_changes_nothing_of_training_but_itself(drawn: tuple[list[tuple[int, int]], int]) -> None:
    pairs, gone = drawn
    rows = [(user, item, UNSPLIT) for user, item in sorted(pairs)]
    assert changed(rows, gone, "example") <= 1


@settings(max_examples=100)
@given(histories, st.randoms(use_true_random=False))
def test_nor_does_it_where_the_file_says_what_is_held_out(
    drawn: tuple[list[tuple[int, int]], int], random: object
) -> None:
    pairs, gone = drawn
    rng = np.random.default_rng(len(pairs))
    marked = [(user, item, int(rng.choice([0, VALID, TEST]))) for user, item in sorted(pairs)]
    given = LeaveOneOut(
        rng.integers(-1, ITEMS, 4).astype(np.int32),
        rng.integers(-1, ITEMS, 4).astype(np.int32),
        np.full((4, 1), -1, np.int32),
    )
    assert changed([(user, item, UNSPLIT) for user, item in sorted(pairs)], gone, "example", given) <= 1
    if any(mark != UNSPLIT for at, (_, _, mark) in enumerate(marked) if at != gone):
        assert changed(marked, gone, "example") <= 1


def test_by_the_last_two_one_interaction_changes_three() -> None:
    """The same with its defence off: the split of a user's last two, as it is where whole users are protected."""
    rows = [(0, 1, UNSPLIT), (0, 2, UNSPLIT), (0, 3, UNSPLIT)]
    assert changed(rows, 0, "user") == 3
    assert changed(rows, 0, "example") <= 1


def test_a_split_by_hash_measures_enough_and_trains_on_the_most() -> None:
    rng = np.random.default_rng(0)
    rows = [(user, int(item), UNSPLIT) for user in range(4) for item in rng.permutation(ITEMS)[:30]]
    found = split(dataset(rows), seed=1, unit="example")
    assert 0.65 < len(trained(found)) / len(rows) < 0.92
    assert (found.test >= 0).sum() >= 3 and (found.valid >= 0).sum() >= 3
    for user in range(4):
        assert not {int(found.test[user]), int(found.valid[user])} & set(found.training[user].tolist())


def test_the_only_mark_of_a_file_does_not_decide_how_everybody_is_split(tmp_path: Path) -> None:
    pairs = [(f"u{user}", f"i{item}") for user in range(4) for item in range(8)]
    (tmp_path / "items.csv").write_text("item,title\n" + "".join(f"i{item},I\n" for item in range(8)))
    found = []
    for mark in ("test", ""):
        rows = "".join(f"{user},{item},{mark if at == 5 else ''}\n" for at, (user, item) in enumerate(pairs))
        (tmp_path / "interactions.csv").write_text("user,item,split\n" + rows)
        found.append(trained(split(read_dataset(tmp_path), seed=5, unit="example")))
    assert len(found[0] ^ found[1]) == 1


# The catalogue.

INTERACTIONS = "user,item\nann,a\nann,b\nben,a\nben,secret\n"


def test_no_catalogue_is_made_of_interactions_without_consent(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(INTERACTIONS)
    (tmp_path / "case.inter").write_text("user_id:token\titem_id:token\nann\ta\nben\tsecret\n")
    frame = {"user": ["ann", "ben"], "item": ["a", "secret"]}
    for source in (tmp_path, tmp_path / "case.inter", tmp_path / "interactions.csv", frame):
        with pytest.raises(DataError, match="what a single person touched") as caught:
            read_data(source)
        assert "--catalogue-from-interactions" in caught.value.action and "public list" in caught.value.action
        # With the word, one touch is seen in it: what the consent is to.
        items = [one.id for one in read_data(source, catalogue_from_interactions=True).items]
        assert "secret" in items
    (tmp_path / "items.csv").write_text("item,title\na,A\nb,B\nsecret,S\nnever,N\n")
    listed = read_dataset(tmp_path).items
    (tmp_path / "interactions.csv").write_text(INTERACTIONS.replace("ben,secret\n", ""))
    assert read_dataset(tmp_path).items == listed, "with a public list, a touch more or less changes nothing"


# Delta.


def example(delta: float | None = None) -> object:
    privacy = {"unit": "example", "epsilon": 8.0, **({} if delta is None else {"delta": delta})}
    return from_tree({"privacy": privacy, "model": {"notes": False, "photos": False}})


def test_a_delta_is_of_the_interactions_and_not_of_the_users() -> None:
    users, interactions = 100, 50_000
    config = example()
    with pytest.raises(ConfigError, match="number of interactions"):
        delta_of(config, users)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="number of interactions"):
        costs_of(config, users)  # type: ignore[arg-type]
    counted = with_interactions_counted(config, interactions)  # type: ignore[arg-type]
    assert delta_of(counted, users) == delta_for(interactions) < 1 / interactions
    # What it was: one in so many that several interactions may be shown as they are.
    assert delta_for(users) * interactions > 100
    assert with_interactions_counted(example(1e-9), interactions).privacy.delta == 1e-9  # type: ignore[arg-type]
    whole = from_tree({"privacy": {"epsilon": 8.0}})
    assert with_interactions_counted(whole, interactions) is whole
    assert delta_of(whole, users) == delta_for(users)
