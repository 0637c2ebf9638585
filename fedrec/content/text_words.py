"""Text before encoding: tidied, then cut into words or word pieces by a tokenizer trained on the catalogue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from fedrec.content.encoder import Problem
from fedrec.content.text_split import WordSplitter
from fedrec.errors import ContentError

LONGEST = 65_536
"""Characters of a text that are read; what follows is cut and reported."""
UNKNOWN = "[UNK]"
PADDING = "[PAD]"


def tidy(texts: Sequence[str]) -> tuple[list[str], tuple[Problem, ...]]:
    """Strip, cut to `LONGEST` characters, and replace lone surrogates, which no tokenizer takes. Reports the cuts."""
    problems = tuple(
        Problem(place, f"text of {len(text)} characters cut to {LONGEST}")
        for place, text in enumerate(texts)
        if len(text) > LONGEST
    )
    return [text[:LONGEST].encode("utf-8", "replace").decode("utf-8").strip() for text in texts], problems


@dataclass(frozen=True, eq=False)
class CutTexts:
    """The words of texts: lower case, accents stripped, punctuation dropped, each ideograph a word of its own.

    ``distinct``: each word once.  ``places``: int32 [n], in ``distinct``, of the words of one text after the other.
    ``lengths``: int64 [texts], words of each.
    """

    distinct: tuple[str, ...]
    places: NDArray[np.int32]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> CutTexts:
        """Cut texts into words. `UNKNOWN` is one, as the tokenizer has it wherever it stands."""
        cut = _splitter().words
        found: defaultdict[str, int] = defaultdict(count().__next__)
        places = []
        for text in texts:
            words = cut(text) if UNKNOWN not in text else _around(list(map(cut, text.split(UNKNOWN))))
            places.append(np.fromiter(map(found.__getitem__, words), dtype=np.int32, count=len(words)))
        lengths = np.fromiter(map(len, places), dtype=np.int64, count=len(places))
        return cls(tuple(found), np.concatenate([np.zeros(0, dtype=np.int32), *places]), lengths)


def train_words(words: CutTexts, vocabulary: int) -> Tokenizer:
    """A tokenizer into whole words, the ``vocabulary`` most frequent ones; ties fall by the alphabet.

    Place 0 is the unknown word. It is the one that its trainer makes of the texts, which cuts them anew.
    """
    times = dict(zip(words.distinct, np.bincount(words.places, minlength=len(words.distinct)).tolist(), strict=True))
    if unknown := times.pop(UNKNOWN, 0):  # to the trainer, in brackets
        (plain,) = CutTexts.of([UNKNOWN.strip("[]")]).distinct
        times[plain] = times.get(plain, 0) + unknown
    most = sorted(sorted(times), key=times.__getitem__, reverse=True)[: vocabulary - 1]  # equals stay in order
    places = {word: place for place, word in enumerate([UNKNOWN, *most])}
    tokenizer = _plain(Tokenizer(models.WordLevel(places, unk_token=UNKNOWN)))
    tokenizer.add_special_tokens([UNKNOWN])
    return tokenizer


@cache
def _splitter() -> WordSplitter:
    # Kept: a device encodes one note at a time, and making the rules takes longer than that.
    rules = _plain(Tokenizer(models.WordLevel(unk_token=UNKNOWN)))
    return WordSplitter(rules.normalizer, rules.pre_tokenizer)


def _around(parts: Sequence[list[str]]) -> list[str]:
    return parts[0] + [word for part in parts[1:] for word in (UNKNOWN, *part)]


def train_pieces(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A tokenizer into word pieces by byte-pair encoding (Sennrich et al. 2016, section 3.2).

    Ids are below ``vocabulary``; 0 is padding, 1 an unknown character. At most half of the vocabulary goes to single
    characters, so that a script with many of them leaves room for words.
    """
    tokenizer = _plain(Tokenizer(models.BPE(unk_token=UNKNOWN)))
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PADDING, UNKNOWN],
        limit_alphabet=vocabulary // 2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def restore(text: str) -> Tokenizer:
    """A tokenizer from its JSON. Raises ContentError where that is damaged."""
    try:
        return Tokenizer.from_str(text)
    except Exception:  # the binding raises bare Exception
        raise ContentError("a saved tokenizer is damaged", action="Build the features again") from None


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.BertNormalizer(lowercase=True, strip_accents=True, handle_chinese_chars=True)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^\w]+"), "removed")
    return tokenizer
