"""What can be learned from a shop: each modality its own part, and the truth far above popularity."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fedrec.content.audio_statistics import AudioExtractor
from fedrec.errors import DataError
from fedrec.simulation.shop import Oracle, load_oracle, write_shop
from fedrec.simulation.shop.latents import HIDDEN, TEXT, VISUAL, WEIGHTS, LatentItems, affinity, draw_items, draw_users
from fedrec.simulation.shop.pictures import OUTLINES, draw_picture
from fedrec.simulation.shop.sounds import CARRIED

USERS, ITEMS = 200, 500
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("shop") / "a", users=USERS, seed=1).directory


@pytest.fixture(scope="module")
def truth(shop: Path) -> Oracle:
    return load_oracle(shop)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words_of(text: str) -> list[str]:
    return [word.strip(".,:;").lower() for word in text.split()]


def bag(texts: list[str], vocabulary: list[str]) -> Floats:
    place = {word: i for i, word in enumerate(vocabulary)}
    counts = np.zeros((len(texts), len(vocabulary)))
    for row, text in enumerate(texts):
        for word in words_of(text):
            if word in place:
                counts[row, place[word]] += 1
    return counts


def common_words(texts: list[str]) -> list[str]:
    seen = Counter(word for text in texts for word in set(words_of(text)))
    return sorted(word for word, count in seen.items() if count >= 5)


def layout(path: Path) -> Floats:
    """Mean colours of an 8 x 8 grid."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").resize((8, 8), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel() / 255


def probe(features: Floats, target: NDArray[np.float32], ridge: float) -> Floats:
    """Share of each column's variance that a ridge regression predicts on a quarter of items it did not see."""
    split = len(features) * 3 // 4
    mean, spread = features[:split].mean(axis=0), features[:split].std(axis=0) + 1e-6
    x = (features - mean) / spread
    y = target.astype(np.float64) - target[:split].mean(axis=0)
    solved = np.linalg.solve(x[:split].T @ x[:split] + ridge * np.eye(x.shape[1]), x[:split].T @ y[:split])
    left = np.square(y[split:] - x[split:] @ solved).sum(axis=0)
    return np.asarray(1.0 - left / np.square(y[split:] - y[split:].mean(axis=0)).sum(axis=0))


def test_text_tells_the_text_part_and_nothing_else(shop: Path, truth: Oracle) -> None:
    texts = [f"{row['title']} {row['text']}" for row in rows(shop / "items.csv")]
    features = bag(texts, common_words(texts))
    parts = truth.items.parts
    assert probe(features, parts[:, TEXT], 300.0).min() > 0.5
    assert probe(features, parts[:, VISUAL], 300.0).max() < 0.15
    assert probe(features, parts[:, HIDDEN], 300.0).max() < 0.15


def test_pictures_tell_the_visual_part_and_nothing_else(shop: Path, truth: Oracle) -> None:
    features = np.array([layout(shop / "images" / f"{item}.jpg") for item in truth.item_ids])
    parts = truth.items.parts
    assert probe(features, parts[:, VISUAL], 30.0).min() > 0.7
    assert probe(features, parts[:, TEXT], 30.0).max() < 0.15
    assert probe(features, parts[:, HIDDEN], 30.0).max() < 0.15


def test_sounds_tell_some_dimensions_of_each_part_and_nothing_else(shop: Path, truth: Oracle) -> None:
    files = [shop / "sounds" / f"{item}.wav" for item in truth.item_ids]
    encoded = AudioExtractor(1.0, 4000).extract([file if file.exists() else None for file in files])
    assert not encoded.problems
    told = probe(encoded.values[encoded.present].astype(np.float64), truth.items.parts[encoded.present], 30.0)
    carried = list(CARRIED)
    assert told[carried].min() > 0.4
    assert np.delete(told, carried).max() < 0.15


def test_behaviour_tells_the_hidden_part(tmp_path: Path) -> None:
    directory = write_shop(tmp_path / "s", users=1_500, items=300, seed=2, private_users=0).directory
    oracle, held = load_oracle(directory), held_out(directory)
    place = {item: i for i, item in enumerate(oracle.item_ids)}
    seen = np.zeros((1_500, 300))
    for row in rows(directory / "interactions.csv"):
        if (row["user"], row["item"]) not in held:
            seen[int(row["user"][1:]) - 1, place[row["item"]]] = 1
    together = seen.T @ seen
    expected = np.outer(np.diag(together), np.diag(together)) / len(seen)
    values, vectors = np.linalg.eigh(np.log((together + 0.5) / (expected + 0.5)))
    leading = vectors[:, np.argsort(-np.abs(values))[:12]]
    assert probe(leading, oracle.items.parts[:, HIDDEN], 5.0).min() > 0.3


def test_notes_and_photos_tell_their_users_taste(shop: Path, truth: Oracle) -> None:
    texts = [f"{row['title']} {row['text']}" for row in rows(shop / "items.csv")]
    vocabulary = common_words(texts)
    written: dict[str, str] = {}
    for row in rows(shop / "notes.csv"):
        written[row["user"]] = written.get(row["user"], "") + " " + row["text"]
    notes = bag([written[user] for user in truth.user_ids], vocabulary)
    photos = np.array(
        [np.mean([layout(p) for p in (shop / "photos" / user).iterdir()], axis=0) for user in truth.user_ids]
    )
    assert probe(notes, truth.taste[:, TEXT], 300.0).mean() > 0.4
    assert probe(notes, truth.taste[:, VISUAL], 300.0).max() < 0.2
    assert probe(photos, truth.taste[:, VISUAL], 30.0).mean() > 0.6
    assert probe(photos, truth.taste[:, TEXT], 30.0).max() < 0.2


def held_out(directory: Path) -> set[tuple[str, str]]:
    return {(row["user"], row[column]) for row in rows(directory / "loo_99neg.csv") for column in EVALUATED}


EVALUATED = ("valid_item", "test_item")


def oracle_ranks(directory: Path) -> Floats:
    """From 1, of each user's test item among the negatives of loo_99neg.csv, by the true affinities."""
    truth = load_oracle(directory)
    place = {item: number for number, item in enumerate(truth.item_ids)}
    ranks = []
    for row in rows(directory / "loo_99neg.csv"):
        scores = truth.scores(np.array([truth.user_ids.index(row["user"])]))[0]
        own, others = scores[place[row["test_item"]]], scores[[place[item] for item in row["negatives"].split()]]
        ranks.append(1 + (others > own).sum())
    return np.array(ranks, dtype=np.float64)


def test_the_oracle_beats_popularity_by_far_and_is_not_perfect(shop: Path) -> None:
    ranks = oracle_ranks(shop)
    best = float(np.mean(np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0)))
    held = held_out(shop)
    popular = Counter(row["item"] for row in rows(shop / "interactions.csv") if (row["user"], row["item"]) not in held)
    gains = []
    for row in rows(shop / "loo_99neg.csv"):
        others = [popular[item] for item in row["negatives"].split()]
        own = popular[row["test_item"]]
        rank = 1 + sum(o > own for o in others) + 0.5 * sum(o == own for o in others)
        gains.append(1 / np.log2(rank + 1) if rank <= 10 else 0.0)
    assert best > 3 * float(np.mean(gains))
    assert 0.6 < best < 0.95
    assert best < float(np.mean(ranks <= 10)) < 1.0


def test_oracle_scores_are_the_affinities_that_made_the_shop(truth: Oracle) -> None:
    items, taste = draw_items(1, ITEMS), draw_users(1, USERS)
    places = np.array([7, 0, 7, USERS - 1])
    scores = truth.scores(places)
    assert scores.shape == (4, ITEMS)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, affinity(taste[places], items))
    for part in (TEXT, VISUAL, HIDDEN):
        np.testing.assert_allclose(np.linalg.norm(taste[:, part], axis=1), 1.0, rtol=1e-6)


def test_affinity_by_hand() -> None:
    one = LatentItems(
        parts=np.array([[1, 0, 0, 0, 2, 0, 0, -1]], dtype=np.float32), bias=np.array([0.25], dtype=np.float32)
    )
    taste = np.array([[1, 0, 0, 0, 1, 0, 0, 1], [0, 1, 0, 0, 0, 1, 1, 0]], dtype=np.float32)
    expected = WEIGHTS["text"] * 1 + WEIGHTS["visual"] * 2 - WEIGHTS["hidden"] + 0.25
    np.testing.assert_allclose(affinity(taste, one), [[expected], [0.25]], rtol=1e-6)


def test_a_damaged_shop_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no shop"):
        load_oracle(tmp_path)
    (tmp_path / "oracle.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="not the oracle"):
        load_oracle(tmp_path)


@pytest.mark.parametrize("category", range(len(OUTLINES)))
def test_every_outline_is_drawn(category: int) -> None:
    latent = np.zeros(3, dtype=np.float32)
    picture = draw_picture(np.random.default_rng(0), latent, category)
    other = draw_picture(np.random.default_rng(0), latent, (category + 1) % len(OUTLINES))
    assert picture[:2] == b"\xff\xd8"
    assert picture != other
