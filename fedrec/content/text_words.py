"""Text before encoding: tidied, then cut into words or word pieces by a tokenizer trained on the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from fedrec.content.encoder import Problem
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


def train_words(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A tokenizer into whole words, the ``vocabulary`` most frequent ones; ties fall by the alphabet.

    Lower case, accents stripped, punctuation dropped, each ideograph a word of its own. Place 0 is the unknown word.
    """
    tokenizer = _plain(Tokenizer(models.WordLevel(unk_token=UNKNOWN)))
    tokenizer.train_from_iterator(
        texts, trainers.WordLevelTrainer(vocab_size=vocabulary, special_tokens=[UNKNOWN], show_progress=False)
    )
    return tokenizer


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
