"""Every command that a document names is one: known, with options that it has and settings that there are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from docs_cases import PAGES, ROOT, commands, simple_commands, text_of

from fedrec.cli.main import build

FEDREC = typer.main.get_command(build())


def parse(words: list[str], *, whole: bool) -> dict[str, Any]:
    """What a call of ``fedrec`` gives its command, as the command's own parser reads it; nothing is run.

    ``whole``: whether everything that is required must be there.
    """
    command: click.Command = FEDREC
    context = click.Context(command, info_name="fedrec")
    rest = list(words)
    while isinstance(command, click.Group):
        if not rest or rest[0].startswith("-"):
            assert rest[:1] in (["--help"], ["--verbose"], []), words
            return {}
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"fedrec has no {name}: {words}"
        command, context = found, click.Context(found, info_name=name, parent=context)
    given, more, _ = command.make_parser(context).parse_args([word for word in rest if word != "--help"])
    assert not more, f"too many words: {more} in {words}"
    present = {name for name, value in given.items() if isinstance(value, (str, bool, list, tuple)) and value != ()}
    missing = [one.name for one in command.params if one.required and one.name not in present]
    assert not (whole and missing), f"fedrec {' '.join(words)} lacks {missing}"
    return {name: given[name] for name in present}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_call_of_fedrec_parses(page: Path) -> None:
    for words, whole in commands(text_of(page), "fedrec"):
        try:
            parse(words, whole=whole)
        except click.UsageError as error:
            pytest.fail(f"{page.name}: fedrec {' '.join(words)}: {error.format_message()}")


def test_calls_were_found() -> None:
    calls = [words for page in PAGES for words, _ in commands(text_of(page), "fedrec")]
    assert len(calls) > 60
    assert {"simulate", "recommend", "data", "device", "privacy", "roster", "release", "config"} <= {
        words[0] for words in calls
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("frobnicate", "has no frobnicate"),
        ("data frobnicate", "has no frobnicate"),
        ("simulate a.toml --data shop", "lacks"),
        ("doctor shop", "too many words"),
    ],
)
def test_a_wrong_call_is_found(line: str, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        parse(line.split(), whole=True)


def test_an_option_that_there_is_not_is_found() -> None:
    with pytest.raises(click.UsageError, match="--colour"):
        parse(["doctor", "--colour"], whole=False)


def test_lines_of_shell_come_apart() -> None:
    line = "for n in 0 1; do fedrec device identity --store $D/$n.sqlite; done > ids.txt  # each"
    assert list(simple_commands(line)) == [
        ["for", "n", "in", "0", "1"],
        ["fedrec", "device", "identity", "--store", "$D/$n.sqlite"],
        ["done"],
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_is_run_is_here_and_has_its_options(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return
    for words, _ in commands(text_of(page), "python -m"):
        spec = importlib.util.find_spec(words[0])
        assert spec is not None and spec.origin is not None, words
        source = Path(spec.origin).read_text(encoding="utf-8")
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in source, (words[0], option)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_that_is_made_is_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words, _ in commands(text_of(page), "make"):
        assert {word for word in words if "=" not in word} <= targets, words
