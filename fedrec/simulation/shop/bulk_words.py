"""Titles and descriptions of many items at once: the sentences of `words`, put together column by column.

Each of the words is drawn as `words` draws it, from a generator a block of items instead of one an item.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fedrec.simulation.shop.latents import TEXT_WIDTH, Floats32
from fedrec.simulation.shop.words import DESCRIPTIONS, ROLES, SHARPNESS, THEMES

WordColumn = NDArray[np.object_]
_FIELD: Final = re.compile(r"(\b[Aa] )?{([a-z]+\d?)}")
_VOWELS: Final = ("a", "e", "i", "o", "u")


def titles_and_texts(rng: np.random.Generator, latents: Floats32, nouns: WordColumn) -> tuple[WordColumn, WordColumn]:
    """A product name and a description for each item.

    Args:
        rng: decides the words.
        latents: float32 [items, 3], the text parts.
        nouns: object [items], what each item is.

    Returns:
        Two object arrays of text [items].
    """
    looks, stuffs = (_words(rng, latents)[role] for role in ROLES[:2])
    places = rng.permuted(np.tile(np.arange(TEXT_WIDTH), (len(latents), 1)), axis=1)
    rows = np.arange(len(latents))
    capital = np.array([word.capitalize() for word in _VOCABULARY], dtype=object)
    titles = _joined([capital[looks[rows, places[:, 0]]], " ", _TEXTS[stuffs[rows, places[:, 1]]], " ", nouns])
    return titles, _descriptions(rng, latents, nouns)


def _descriptions(rng: np.random.Generator, latents: Floats32, nouns: WordColumn) -> WordColumn:
    fields: dict[str, NDArray[np.int64]] = {}
    for role, words in _words(rng, latents).items():
        shuffled = rng.permuted(words, axis=1)
        fields |= {f"{role[:-1]}{place}": shuffled[:, place] for place in range(TEXT_WIDTH)}
    template = rng.integers(len(DESCRIPTIONS), size=len(latents))
    found = np.empty(len(latents), dtype=object)
    for kind, text in enumerate(DESCRIPTIONS):
        rows = np.flatnonzero(template == kind)
        found[rows] = _joined(_pieces(text, {name: words[rows] for name, words in fields.items()}, nouns[rows]))
    return found


def _pieces(template: str, fields: dict[str, NDArray[np.int64]], nouns: WordColumn) -> list[str | WordColumn]:
    """The template cut at its fields; ``a`` before a field becomes a part of it, since some words want ``an``."""
    pieces: list[str | WordColumn] = []
    at = 0
    for field in _FIELD.finditer(template):
        article, name = field.group(1) or "", field.group(2)
        pieces.append(template[at : field.start()])
        at = field.end()
        if name == "noun":
            options, which = np.unique(nouns, return_inverse=True)
            pieces.append(_with_article(article, options)[which])
        else:
            pieces.append(_with_article(article, _VOCABULARY)[fields[name]])
    return [*pieces, template[at:]]


def _with_article(article: str, words: Sequence[str] | WordColumn) -> WordColumn:
    return np.array([_article(article, word) + word for word in words], dtype=object)


def _article(article: str, word: str) -> str:
    return f"{article[:-1]}n " if article and word.startswith(_VOWELS) else article


def _joined(pieces: Sequence[str | WordColumn]) -> WordColumn:
    total: Any = ""
    for piece in pieces:
        total = total + piece
    return np.asarray(total, dtype=object)


def _words(rng: np.random.Generator, latents: Floats32) -> dict[str, NDArray[np.int64]]:
    """One word for each item, role and dimension, as places in the vocabulary: role -> int64 [items, 3].

    As in `words`: of a dimension's four words four times its quantile come from the high theme, rounded at random.
    """
    shape = (len(latents), TEXT_WIDTH)
    high = np.floor(len(ROLES) * ndtr(SHARPNESS * latents) + rng.random(shape)).astype(np.int64)
    order = rng.permuted(np.broadcast_to(np.arange(len(ROLES)), (*shape, len(ROLES))), axis=2)
    ends = (order < high[:, :, None]).astype(np.int64)
    dimension = np.arange(TEXT_WIDTH)
    found = {}
    for place, role in enumerate(ROLES):
        start, count = _STARTS[place, dimension, ends[:, :, place]], _COUNTS[place, dimension, ends[:, :, place]]
        found[role] = start + (rng.random(shape) * count).astype(np.int64)
    return found


def _tables() -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """All words, and for each role, dimension and end of it where its words start and how many they are."""
    words: list[str] = []
    starts = np.zeros((len(ROLES), TEXT_WIDTH, 2), dtype=np.int64)
    counts = np.zeros_like(starts)
    for place, role in enumerate(ROLES):
        for dimension, themes in enumerate(THEMES):
            for end, theme in enumerate(themes):
                options: tuple[str, ...] = getattr(theme, role)
                starts[place, dimension, end], counts[place, dimension, end] = len(words), len(options)
                words += options
    return words, starts, counts


_VOCABULARY, _STARTS, _COUNTS = _tables()
_TEXTS: Final = np.array(_VOCABULARY, dtype=object)
