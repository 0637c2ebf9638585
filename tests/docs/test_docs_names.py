"""What documents name is there: files, modules and what is in them, settings, links, queries, choices."""

from __future__ import annotations

import importlib
import re
import shlex
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs_cases import HISTORY, PAGES, ROOT, commands, console_lines, spans, text_of

from fedrec.config import Config
from fedrec.config.base import section_of
from fedrec.content.registry import ENCODERS
from fedrec.model.registry import FUSIONS, ITEM_ENCODERS, USER_TOWERS
from fedrec.privacy.registry import MECHANISMS
from fedrec.queries.registry import QUERIES
from fedrec.registry import _HOMES, registry_of

FOLDERS = "fedrec|server|client|simulations|tests|docs|examples"
PATH = re.compile(rf"(?:{FOLDERS})(?:/[\w.*{{}},-]+)+/?")
DOTTED = re.compile(r"((?:fedrec|simulations)(?:\.[A-Za-z_]\w*)+)(?:\(.*\))?")
SETTING = re.compile(rf"((?:{'|'.join(Config.model_fields)})(?:\.[a-z_0-9]+)+)(?: ?= ?.*)?")
# Files of a run whose names look like settings.
FILES = re.compile(r".*\.(json|toml|md|sqlite|safetensors)")
TOLD = [page for page in PAGES if page != HISTORY]
pages = pytest.mark.parametrize("page", TOLD, ids=lambda page: page.name)


def placeholder(name: str) -> bool:
    """Whether a reader is to put something in: ``fedrec/queries/NAME.py``."""
    return "NAME" in name


def expanded(pattern: str) -> list[str]:
    """A pattern with braces, as the patterns that it stands for: a/{b,c}.py -> a/b.py, a/c.py."""
    parts = [part[1:-1].split(",") if part.startswith("{") else [part] for part in re.split(r"(\{[^}]*\})", pattern)]
    return ["".join(chosen) for chosen in product(*parts)]


def resolve(name: str) -> Any:
    """What a dotted name stands for. Raises ImportError or AttributeError where there is nothing."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError as error:
            if error.name is None or not ".".join(parts[:count]).startswith(error.name):
                raise
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def is_setting(key: str) -> bool:
    """Whether a config has this key; below a mapping, every key."""
    section: Any = Config
    for part in key.split("."):
        if section is None:
            return False
        field = section.model_fields.get(part)
        if field is None:
            return False
        if "dict" in str(field.annotation).lower():
            return True
        section = section_of(field)
    return True


@pages
def test_every_file_is_here(page: Path) -> None:
    words = [*spans(text_of(page)), *(word for line in console_lines(text_of(page)) for word in line.split())]
    for word in words:
        if PATH.fullmatch(word) and not placeholder(word):
            assert all(any(ROOT.glob(one.rstrip("/"))) for one in expanded(word)), f"{page.name}: {word}"


@pages
def test_every_dotted_name_stands_for_something(page: Path) -> None:
    groups = {registry_of(kind).group for kind in _HOMES}
    for span in spans(text_of(page)):
        match = DOTTED.fullmatch(span)
        if match and match[1] not in groups:
            try:
                resolve(match[1])
            except (ImportError, AttributeError) as error:
                pytest.fail(f"{page.name}: {span}: {error}")


@pages
def test_every_setting_is_one(page: Path) -> None:
    text = text_of(page)
    named = [match[1] for span in spans(text) if (match := SETTING.fullmatch(span)) and not FILES.fullmatch(span)]
    calls = [words for words, _ in commands(text, "fedrec")]
    # A variant of a sweep is several settings in one word.
    given = [words[at + 1] for words in calls for at, word in enumerate(words[:-1]) if word in ("--set", "--variant")]
    named += [one.split("=")[0] for value in given for one in shlex.split(value) if "=" in one]
    # What `run.json` has of a run goes by names of its own.
    record = ("privacy.epsilon_", "model.parameters_")
    wrong = [key for key in named if not is_setting(key) and not key.startswith(record)]
    assert not wrong, f"{page.name}: {wrong}"


def test_what_is_not_there_is_found() -> None:
    assert not is_setting("behaviour.weight") and not is_setting("privacy.epsilons")
    assert is_setting("collaborative.prior.modalities.text") and is_setting("training.stopping")
    for name in ("fedrec.events", "fedrec.config.Confg"):
        with pytest.raises((ImportError, AttributeError)):
            resolve(name)
    assert expanded("a/{b,c}*.py") == ["a/b*.py", "a/c*.py"]
    assert placeholder("fedrec/queries/NAME.py") and not placeholder("ARCHITECTURE.md")


def slugs(text: str) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings]
    return {re.sub(r"[\s-]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = text_of(page)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    for link in links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        # Pages of the site that show a page of the tree have its text there.
        assert target.is_file(), f"{page.name}: {link}"
        shown = re.findall(r'--8<-- "([\w.]+)', text_of(target)) if target.suffix == ".md" else []
        if anchor:
            assert anchor in slugs(text_of(ROOT / shown[0] if shown else target)), f"{page.name}: {link}"


def test_references_are_defined() -> None:
    for page in PAGES:
        text = text_of(page)
        for shown in (page, *(ROOT / name for name in re.findall(r'--8<-- "([\w.]+)', text) if page.parent != ROOT)):
            used = set(re.findall(r"\]\[([a-z]+)\]", text_of(shown)))
            assert used <= set(re.findall(r"^\[([a-z]+)\]: ", text, re.MULTILINE)), page.name


def test_every_query_has_its_row_and_its_two_files() -> None:
    rows = [row for row in text_of(ROOT / "docs" / "queries.md").splitlines() if row.startswith("| `")]
    told = {cells[1].strip(" `"): cells for row in rows if len(cells := re.split(r"(?<!\\)\|", row)) == 10}
    assert set(QUERIES.names()) <= set(told)
    for query in QUERIES:
        shared, encoder = (cell.strip(" `") for cell in told[query.name][7:9])
        assert shared.removesuffix(".py").replace("/", ".") == type(query).__module__
        assert encoder.removesuffix(".py").replace("/", ".") == query.encoder.partition(":")[0]


def test_every_choice_of_a_model_is_told() -> None:
    lines = text_of(ROOT / "docs" / "models.md").splitlines()
    told = {
        cells[1].strip(): set(re.findall(r"\*([\w-]+)\*", cells[3])) for line in lines if (cells := line.split("|"))[3:]
    }
    for modality, row in (("text", "text"), ("image", "pictures"), ("audio", "sounds"), ("video", "videos")):
        assert told[row] == set(ENCODERS[modality].names())
    assert told["trained on the features"] == {name for one in ITEM_ENCODERS.values() for name in one.names()}
    assert told["fusion"] == set(FUSIONS.names())
    assert told["user tower"] == set(USER_TOWERS.names())
    assert told["noise of training"] == set(MECHANISMS.names())


def test_what_is_checked_before_a_commit_is_what_make_checks() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = made[made.index("\ncheck:") :].split("\n\n")[0]
    checked = re.findall(r"^\t\$\(BIN\)/(.*?)(?: \.)?$", recipe, re.MULTILINE)
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in hooks] == checked


def test_every_page_is_in_the_site() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f": {page.name}\n" in nav, page.name
