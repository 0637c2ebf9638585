"""Words cut without the tokenizer are those that it cuts, and a vocabulary is the one that it would train."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, trainers

from fedrec.content.text_split import WordSplitter
from fedrec.content.text_words import UNKNOWN, CutTexts, tidy, train_words

EVERY = [*map(chr, range(0x80)), *map(chr, range(0xA0, 0x250)), *map(chr, range(0x2010, 0x205F))]
ODD = "\u0301\u200b\u00bd\ufb01\u6771\x0b\x85\u00df\u0130\u03c3\u03c2"
PIECES = st.one_of(st.sampled_from([*"ab A_9.\n", *ODD, UNKNOWN]), st.characters(exclude_categories=["Cs"]))
TEXTS = st.lists(st.lists(PIECES, max_size=12).map("".join), max_size=5)


def trained(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """By the tokenizer's own trainer."""
    tokenizer = train_words(CutTexts.of([]), 1)
    fresh = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    fresh.normalizer, fresh.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    trainer = trainers.WordLevelTrainer(vocab_size=vocabulary, special_tokens=[UNKNOWN], show_progress=False)
    fresh.train_from_iterator(texts, trainer)
    return fresh


@pytest.mark.parametrize("around", ["x{0}y", "{0}", "a {0}{0} \N{LATIN SMALL LETTER E WITH ACUTE}{0}"])
def test_every_simple_character_is_what_the_tokenizer_makes_of_it(around: str) -> None:
    rules = train_words(CutTexts.of([]), 1)
    splitter = WordSplitter(rules.normalizer, rules.pre_tokenizer)
    for character in EVERY:
        text = around.format(character)
        assert splitter.words(text) == splitter.cut(splitter.normal(text)), hex(ord(character))


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(2, 9))
def test_a_vocabulary_and_its_words_are_the_trainers(given_texts: list[str], vocabulary: int) -> None:
    texts, _ = tidy(given_texts)
    words = CutTexts.of(texts)
    ours, theirs = train_words(words, vocabulary), trained(texts, vocabulary)
    assert ours.to_str() == theirs.to_str()
    known = ours.get_vocab()
    ids = [known.get(words.distinct[place], 0) for place in words.places]
    assert ids == [one for text in texts for one in theirs.encode(text).ids]
    assert words.lengths.tolist() == [len(theirs.encode(text).ids) for text in texts]
