"""Settings from a file, from overrides and from Flower's run config: the same, or an error that names the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedrec.config import Config, from_run_config, from_tree, load
from fedrec.errors import ConfigError


def write(directory: Path, text: str | bytes) -> Path:
    path = directory / "run.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_and_what_is_set_over_it(tmp_path: Path) -> None:
    path = write(
        tmp_path, "[run]\nseed = 1\n[privacy]\nepsilon = 4\n[collaborative.prior]\nmodalities = { text = 1 }\n"
    )
    overrides = [
        "run.seed=7",
        "run.name = 7 days",
        "privacy.epsilon=null",
        'content.modalities=["text", "image"]',
        "content.text.dimension=16",
        "model.notes=true",
        "collaborative.prior.modalities.image=0.5",
        'privacy.shares={"training": 1}',
        "run.name=a=b",
    ]
    config = load(path, overrides)
    assert (config.run.seed, config.run.name) == (7, "a=b")
    assert config.privacy.epsilon is None
    assert config.content.modalities == ("text", "image")
    assert config.content.text.dimension == 16
    assert config.model.notes
    assert config.collaborative.prior.modalities == {"text": 1, "image": 0.5}
    assert config.privacy.shares == {"training": 1}
    assert load(path, overrides[:2]).run.name == "7 days"
    assert load(path) == from_tree(
        {"run": {"seed": 1}, "privacy": {"epsilon": 4}, "collaborative": {"prior": {"modalities": {"text": 1}}}}
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("run.seed", "section.key=value"),
        ("=3", "section.key=value"),
        ("run.seed.low=3", "used as a section"),
        ("run=3", "run: "),
        ("seed=3", "seed: unknown key"),
        ("run.sead=3", "run.sead: unknown key"),
        ("run.seed=many", "run.seed: "),
        ("training.rounds=", "training.rounds: "),
    ],
)
def test_an_override_that_fits_nowhere_is_named(tmp_path: Path, override: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "[run]\nseed = 1\n"), [override])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nseed = 1\nseed = 2\n", "line 3"),
        ("[run]\nseed = one\n", "line 2"),
        ("[run\n", "line 1"),
        (b"[run]\nname = '\xff'\n", "utf-8"),
    ],
)
def test_what_is_not_toml_names_file_and_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert "run.toml" in str(caught.value)
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such config file.*absent\.toml"):
        load(tmp_path / "absent.toml")


def test_flowers_run_config_carries_the_same_settings(tmp_path: Path) -> None:
    write(tmp_path, "[run]\nseed = 3\n")
    expected = from_tree({"run": {"seed": 3}})
    assert from_run_config("run.toml", tmp_path) == expected
    assert from_run_config(expected.model_dump_json(), tmp_path) == expected
    assert from_run_config('{"run": {"seed": 3}}', tmp_path) == expected
    assert from_run_config("", tmp_path) == Config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"run": {"seed": 3}', "not JSON"),
        ('{"run": {"sead": 3}}', "run.sead: unknown key"),
        ('{"run": {"seed": -3}}', "run.seed"),
        ("absent.toml", "no such config file"),
    ],
)
def test_a_run_config_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_run_config(text, tmp_path)
