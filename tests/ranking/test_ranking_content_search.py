"""Search by words or a picture: an item's own words and its own picture find it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import fedrec
from fedrec.api.configs import config_of
from fedrec.config.presets import with_preset
from fedrec.console import SilentReporter
from fedrec.content.encode_catalogue import encode_catalogue
from fedrec.content.feature_table import Features
from fedrec.content.labels import ItemLabels
from fedrec.data.schema import Dataset
from fedrec.errors import ContentError
from fedrec.ranking.content_search import ContentSearch
from fedrec.ranking.word_index import WordIndex, words_of


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    directory = tmp_path_factory.mktemp("data") / "shop"
    fedrec.make_shop(directory, users=20, items=300, seed=4)
    return fedrec.read_data(directory)


@pytest.fixture(scope="module")
def search(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> ContentSearch:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDREC_CACHE", str(tmp_path_factory.mktemp("cache")))
        features, encoders = encode_catalogue(with_preset(config_of("auto", ())), shop, SilentReporter())
    return ContentSearch(features, encoders)


def rank_of(scores: np.ndarray, item: int) -> float:
    """From 0; what is level counts half."""
    return float((scores > scores[item]).sum() + ((scores == scores[item]).sum() - 1) / 2)


def test_an_items_own_words_find_it(shop: Dataset, search: ContentSearch) -> None:
    titles = [rank_of(search.match(item.title).scores, place) for place, item in enumerate(shop.items)]
    sentences = [
        rank_of(search.match(re.split(r"[.!?]\s", item.text)[0]).scores, place)
        for place, item in enumerate(shop.items)
        if item.text.strip()
    ]
    assert np.mean(np.array(titles) < 10) >= 0.95
    assert np.mean(np.array(sentences) < 10) >= 0.95


def test_other_words_do_not(shop: Dataset, search: ContentSearch) -> None:
    # The same test with each item asked for by the words of another one: it can fail.
    moved = [rank_of(search.match(shop.items[place - 7].title).scores, place) for place in range(len(shop.items))]
    assert np.mean(np.array(moved) < 10) < 0.4


def test_an_items_own_picture_finds_it(shop: Dataset, search: ContentSearch) -> None:
    pictured = [place for place, item in enumerate(shop.items) if item.image is not None][:60]
    ranks = []
    for place in pictured:
        image = shop.items[place].image
        assert image is not None
        ranks.append(rank_of(search.match(picture=image.read_bytes()).scores, place))
    assert np.mean(np.array(ranks) < 10) >= 0.95


def test_attributes_are_found_by_their_words(shop: Dataset, search: ContentSearch) -> None:
    item = next(item for item in shop.items if len(item.attributes) > 1)
    values = [values[0] for values in item.attributes.values()]
    match = search.match(f"some {' '.join(values)} please")
    asked = [word for value in values for word in words_of(value)]
    assert set(asked) <= set(match.words)
    assert set(search.words.of(int(match.scores.argmax()), asked)) == set(asked)


@pytest.mark.parametrize("query", ["", "   ", "?!", "\ud800", "zzxxqq"])
def test_what_says_nothing_is_refused(search: ContentSearch, query: str) -> None:
    with pytest.raises(ContentError, match="no word"):
        search.match(query)


def test_what_is_no_picture_is_refused(search: ContentSearch) -> None:
    for picture in (b"", b"\xff\xd8 no picture", Path(__file__).read_bytes()):
        with pytest.raises(ContentError, match="picture"):
            search.match(picture=picture)
    with pytest.raises(ContentError, match="nothing to search for"):
        search.match()


def test_rare_words_weigh_more_and_accents_and_case_do_not_count() -> None:
    labels = ItemLabels(("colour=Bleu", "kind=Été"), np.array([0, 1, 2, 2, 3]), np.array([0, 0, 1], np.int32))
    index = WordIndex(("lamp", "lamp", "lamp velvet", ""), labels)
    assert words_of("Été-VELVET, lamp") == ["ete", "velvet", "lamp"]
    scores = index.scores(index.known("velvet LAMP"))
    assert scores.argmax() == 2 and 1.0 <= scores[2] <= 1.1
    assert 0 < scores[0] == scores[1] < 0.5
    assert index.scores(index.known("été"))[3] >= 1.0
    assert index.of(1, ["lamp", "bleu", "velvet"]) == ["lamp", "bleu"]
    assert index.known("nothing of it") == []


def test_a_catalogue_without_texts_is_searched_by_its_titles_alone() -> None:
    search = ContentSearch(Features(("a", "b"), ("red lamp", "green chair"), {}, {}), {})
    assert search.match("chair").scores.tolist() == [0.0, pytest.approx(1.05, abs=0.05)]
    with pytest.raises(ContentError, match="cannot be searched by this picture"):
        search.match(picture=b"x")
