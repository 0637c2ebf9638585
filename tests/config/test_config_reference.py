"""The reference of settings: complete, described, and the same in the code, the docs and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import fedrec.cli.config
import fedrec.cli.main
from fedrec.cli.main import build
from fedrec.config import Config, Settings, from_tree
from fedrec.config.base import section_of, written_keys
from fedrec.config.origin import effective
from fedrec.config.reference import markdown, query_sections, references, schema
from fedrec.errors import ConfigError

RUNNER = CliRunner()
PAGE = Path("docs/settings.md")


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([fedrec.cli.config.register], []))


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and f"{prefix}{name}" not in TABLES:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


TABLES = {"queries", "privacy.shares", "privacy.groups", "collaborative.prior.modalities"}
TABLES |= {"collaborative.selection.candidates"}


def test_every_setting_has_a_description_and_its_real_default() -> None:
    found = {one.key: one for one in references()}
    assert [one.key for one in found.values() if not one.description] == []
    defaults = dict(leaves(Config().model_dump(mode="json")))
    assert defaults.items() <= {one.key: one.default for one in found.values()}.items()


def test_every_section_says_what_it_is() -> None:
    waiting: list[type[Settings]] = [Config]
    while waiting:
        section = waiting.pop()
        assert section.__doc__ and section.__doc__ != Settings.__doc__, section
        waiting += [inner for field in section.model_fields.values() if (inner := section_of(field)) is not None]


@pytest.mark.parametrize(
    ("key", "kind", "bounds"),
    [
        ("privacy.epsilon", "number or null", "above 0, to 100"),
        ("collaborative.scoring.weight", "number", "from 0, to 1"),
        ("run.engine", "cohort, grid, flower", ""),
        ("collaborative.prior.modalities", "table of text to number", ""),
        ("collaborative.fold_in", "section or null", ""),
        ("collaborative.fold_in.rank", "whole number", "from 1, to 1024"),
        ("privacy.groups", "table of text to number", "at most 64 entries"),
    ],
)
def test_kinds_and_ranges_are_in_words(key: str, kind: str, bounds: str) -> None:
    [found] = [one for one in references() if one.key == key]
    assert (found.kind, found.bounds) == (kind, bounds)


def test_a_range_in_words_is_the_one_that_is_checked() -> None:
    for one in references():
        for word, over in (("from ", -1), ("to ", 1)):
            for bound in [part for part in one.bounds.split(", ") if part.startswith(word)]:
                limit = float(bound.removeprefix(word))
                if "." not in bound and one.kind.startswith("whole"):
                    with pytest.raises(ConfigError, match=one.key):
                        from_tree(_nested(one.key, int(limit) + over))
                else:
                    with pytest.raises(ConfigError, match=one.key):
                        from_tree(_nested(one.key, limit + over))


def test_the_page_of_the_docs_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "fedrec config schema --markdown > docs/settings.md"
    assert RUNNER.invoke(build(), ["config", "schema", "--markdown"]).stdout == markdown()


def test_the_page_has_a_row_for_every_key() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    of_queries = [one for prefix, section in query_sections() for one in references(section, prefix)]
    assert len(rows) == len([*references(), *of_queries])
    assert of_queries


def test_the_json_schema_has_the_descriptions() -> None:
    printed = json.loads(RUNNER.invoke(build(), ["config", "schema", "--json"]).stdout)
    assert printed == json.loads(json.dumps(schema()))
    recency = printed["$defs"]["ScoringSettings"]["properties"]["recency"]
    assert (recency["minimum"], recency["maximum"], recency["default"]) == (0, 4, 0.0)
    assert "recency" in recency["description"]


def test_the_table_names_every_key() -> None:
    printed = RUNNER.invoke(build(), ["config", "schema"]).stdout
    for key in ("secure_aggregation", "training.pool_power", "audit.confidence"):
        assert key in printed


def test_two_forms_at_once_are_refused() -> None:
    assert RUNNER.invoke(build(), ["config", "schema", "--json", "--markdown"]).exit_code == ConfigError.exit_code


def test_show_says_where_each_value_is_from(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[model]\npreset = "fedrec"\n[collaborative.prior]\nweight = 0.8\n', encoding="utf-8")
    given = ["config", "show", str(path), "--set", "run.seed=7", "--json"]
    printed = json.loads(RUNNER.invoke(build(), given).stdout)
    assert printed["preset"] == "fedrec"
    settings = printed["settings"]
    said = {key: (settings[key]["value"], settings[key]["from"]) for key in settings}
    assert said["run.seed"] == (7, "set")
    assert said["model.preset"] == ("fedrec", "file")
    assert said["collaborative.prior.weight"] == (0.8, "file")
    assert said["collaborative.prior.sharpness"] == (1.5, "preset")
    assert said["collaborative.fold_in.weight"] == (0.5, "preset")
    assert said["collaborative.fold_in.rank"] == (128, "default")
    assert said["training.stopping"] == (None, "default")
    assert settings["training.rounds"]["description"]


def test_show_without_a_config_is_the_defaults() -> None:
    printed = json.loads(RUNNER.invoke(build(), ["config", "show", "--json"]).stdout)["settings"]
    assert {one["from"] for one in printed.values()} == {"default"}
    assert {key: one["value"] for key, one in printed.items()} == dict(leaves(Config().model_dump(mode="json")))
    assert "training.rounds" in RUNNER.invoke(build(), ["config", "show"]).stdout


def test_show_of_what_cannot_run_says_why() -> None:
    result = RUNNER.invoke(build(), ["config", "show", "--set", "run.sead=1"])
    assert result.exit_code == ConfigError.exit_code
    assert "did you mean run.seed?" in result.stderr


def test_an_entry_of_a_table_counts_as_its_setting() -> None:
    _, rows = effective({"privacy": {"shares": {"training": 1.0}}}, ["collaborative.prior.modalities.text=1"])
    origins = {one.key: one.origin for one in rows}
    assert (origins["privacy.shares"], origins["collaborative.prior.modalities"]) == ("file", "set")
    assert set(written_keys({"training": {"stopping": None}, "run": {"seed": 1}}, Config)) == {
        "training.stopping",
        "run.seed",
    }


@pytest.mark.parametrize(
    ("tree", "meant"),
    [
        ({"run": {"sead": 1}}, "run.seed"),
        ({"seed": 1}, "run.seed"),
        ({"colaborative": {}}, "collaborative"),
        ({"collaborative": {"modalities": {}}}, "collaborative.prior.modalities"),
        ({"collaborative": {"fold_in": {"flatening": 1}}}, "collaborative.fold_in.flattening"),
    ],
)
def test_an_unknown_key_is_answered_with_what_was_perhaps_meant(tree: dict[str, Any], meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown key \(did you mean .*{meant}"):
        from_tree(tree)


def test_a_key_like_no_other_gets_no_guess() -> None:
    with pytest.raises(ConfigError, match="unknown key") as caught:
        from_tree({"model": {"xyzzy": 1}})
    assert "did you mean" not in str(caught.value)


def test_a_section_set_to_one_value_is_said_to_be_a_section() -> None:
    with pytest.raises(ConfigError, match="is a section with keys of its own, got False"):
        from_tree({"collaborative": {"cooccurrence": False}})


def _nested(key: str, value: Any) -> dict[str, Any]:
    *path, leaf = key.split(".")
    tree: dict[str, Any] = {leaf: value}
    for name in reversed(path):
        tree = {name: tree}
    return tree
