"""The documents of the tree, and what stands in them: code blocks, spans of code, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
# It tells what was, by the names that it had.
HISTORY = ROOT / "CHANGELOG.md"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BETWEEN = {";", "|", "||", "&", "&&", "(", ")"}


def text_of(page: Path) -> str:
    """A page as it stands."""
    return page.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of one language."""
    return [body for kind, body in _FENCE.findall(text) if kind == language]


def spans(text: str) -> list[str]:
    """Everything in backticks, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))


def console_lines(text: str) -> list[str]:
    """The commands of all console blocks, without their ``$``; lines that go on are one."""
    lines: list[str] = []
    for block in blocks(text, "console"):
        joined = re.sub(r"\\\n\s*", "", block)
        lines += [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
    return lines


def simple_commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line of shell: words without comments, redirections and keywords of loops."""
    line = re.sub(r"\s\d>&\d", "", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters = "#"
    lexer.whitespace_split = True  # else "$" and "/" end a word
    words: list[str] = []
    skip = False
    for word in lexer:
        if skip:
            skip = False
        elif word.startswith((">", "<")):
            skip = True
        elif set(word) <= set("".join(_BETWEEN)):
            yield words
            words = []
        elif words or word not in ("do", "then"):
            words.append(word)
    yield words


def commands(text: str, program: str) -> Iterator[tuple[list[str], bool]]:
    """Every call of a program, and whether it stands in a console block: words after its name."""
    start = program.split()
    for line in console_lines(text):
        for words in simple_commands(line):
            if words[: len(start)] == start:
                yield words[len(start) :], True
    for span in spans(text):
        if span.startswith(f"{program} "):
            yield next(simple_commands(span.replace("...", "")))[len(start) :], False
