"""Texts cut into words as a tokenizer of whole words cuts them, most of them without it.

Its rules for any script and any odd character (`fedrec.content.text_words`) cost several times what splitting plain
text takes.  So texts of ASCII and of Latin letters and punctuation, where they come down to a table of characters, are
split here, and all others by the tokenizer's own parts; the words are the same.
"""

from __future__ import annotations

import re
from typing import Final

from tokenizers.normalizers import Normalizer
from tokenizers.pre_tokenizers import PreTokenizer

_WORD: Final = re.compile(r"\w+")
# ASCII but control characters, which the tokenizer drops; Latin letters and punctuation, none of which is composed with
# a character beside it.
_SIMPLE: Final = re.compile("[\t\n\r -~\u00a0-\u024f\u2010-\u205e]*")
_HARD: Final = "\x00"
"""What a character becomes that is not to be told by a table; no simple text has it."""


class WordSplitter:
    """Cuts texts as ``normalizer`` and ``pre_tokenizer`` do."""

    def __init__(self, normalizer: Normalizer, pre_tokenizer: PreTokenizer) -> None:
        self._normalizer, self._pre_tokenizer = normalizer, pre_tokenizer
        self._table = _Characters(self)

    def words(self, text: str) -> list[str]:
        """The words of a text, in order."""
        if _SIMPLE.fullmatch(text):
            plain = text.lower() if text.isascii() else text.translate(self._table)
            if _HARD not in plain:
                return _WORD.findall(plain)
        return self.cut(self.normal(text))

    def normal(self, text: str) -> str:
        """A text as the normalizer makes it."""
        return self._normalizer.normalize_str(text)

    def cut(self, normal: str) -> list[str]:
        """The words of a text that is normal."""
        return [word for word, _ in self._pre_tokenizer.pre_tokenize_str(normal)]


class _Characters(dict[int, str]):
    """What each character of a simple text becomes, found when it is first met: word characters, or a space."""

    def __init__(self, splitter: WordSplitter) -> None:
        super().__init__()
        self._splitter = splitter

    def __missing__(self, code: int) -> str:
        self[code] = "".join(map(self._told, self._splitter.normal(chr(code))))
        return self[code]

    def _told(self, normal: str) -> str:
        """A normal character: itself where both sides take it for a part of a word, a space where the tokenizer does
        not; else it is hard."""
        within = len(self._splitter.cut(f"a{normal}b")) == 1
        if within != bool(_WORD.fullmatch(normal)):
            return _HARD if within else " "
        return normal if within else " "
