"""Settings as a config, a preset's name or a file, with changes in either form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedrec
from fedrec.api.configs import config_of, override_texts
from fedrec.config.presets import with_preset
from fedrec.config.shipped import shipped_configs


def test_presets_are_listed_with_what_they_are() -> None:
    found = fedrec.presets()
    assert {"fedrec", "defaults", "content-only"} <= set(found)
    assert all(found.values())


def test_a_presets_name_stands_for_its_settings() -> None:
    config = config_of("text-only")
    assert (config.model.preset, config.run.name) == ("text-only", "text-only")
    assert with_preset(config).content.modalities == ("text",)


def test_a_config_that_comes_with_fedrec_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = shipped_configs()
    assert {"auto", "ml1m-fedrec-eps8", "shop-million"} <= set(configs)
    named = config_of("ml1m-fedrec-eps8", {"run.seed": 4})
    assert named == config_of(configs["ml1m-fedrec-eps8"], {"run.seed": 4})
    assert named.privacy.epsilon == 8.0
    # A file of the user's own goes first, and a preset's name before both.
    monkeypatch.chdir(tmp_path)
    Path("ml1m-fedrec-eps8").write_text('[run]\nname = "mine"\n', encoding="utf-8")
    assert config_of("ml1m-fedrec-eps8").run.name == "mine"
    assert config_of("auto").model.preset == "auto"


def test_changes_of_a_config_leave_its_preset_in_force() -> None:
    base = config_of("text-only", {"training.rounds": 7})
    changed = config_of(base, {"training": {"negatives": 9}, "run.seed": np.int64(3)})
    assert (changed.training.rounds, changed.training.negatives, changed.run.seed) == (7, 9, 3)
    # What the config was never told is still the preset's to say.
    assert with_preset(changed).content.modalities == ("text",)
    assert config_of(base) is base


def test_both_forms_of_changes_are_one(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[run]\nname = "mine"\n[privacy]\nepsilon = 3.0\n', encoding="utf-8")
    mapping: dict[str, Any] = {
        "privacy": {"epsilon": 2.5, "shares": {"popularity": 0.5, "cooccurrence": 0.25, "training": 0.25}},
        "content.modalities": ("text",),
        "run.name": "true",
        "privacy.delta": None,
    }
    texts = override_texts(mapping)
    assert 'run.name="true"' in texts
    config = config_of(path, mapping)
    assert config == config_of(str(path), texts) == fedrec.load_config(path, mapping)
    assert config.run.name == "true" and config.privacy.delta is None
    assert config.privacy.epsilon == 2.5 and dict(config.privacy.shares)["popularity"] == 0.5


def test_a_file_need_not_be_valid_without_the_changes(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[audit]\ncanaries = 100\n", encoding="utf-8")
    with pytest.raises(fedrec.ConfigError, match="canaries"):
        config_of(path)
    assert config_of(path, {"privacy.epsilon": 1}).audit.canaries == 100


@pytest.mark.parametrize(
    ("source", "overrides", "message"),
    [
        ("fedrecc", (), "neither a preset nor a config, by name or by path"),
        ("ml100k-fedrec-eps88", (), "Did you mean 'ml100k-fedrec-eps8'"),
        ("gone.toml", (), "no such config file"),
        ("fedrec", {"training.round": 3}, "training.round: unknown key"),
        ("fedrec", {"training.rounds.deep": 3}, "training.rounds"),
        (fedrec.Config(), {"run.name": "x", "run.name.deep": 3}, "used as a section"),
        ("fedrec", {"training.rounds": object()}, "no value that a setting can have"),
        ("fedrec", "training.rounds=3", "a list or a mapping"),
        ("fedrec", ["training.rounds"], "must look like"),
        ("fedrec", {"training": 3}, "training"),
    ],
)
def test_what_is_no_setting_is_refused(source: Any, overrides: Any, message: str) -> None:
    with pytest.raises(fedrec.ConfigError) as caught:
        config_of(source, overrides)
    assert message in str(caught.value)


def test_a_misspelt_preset_is_guessed() -> None:
    with pytest.raises(fedrec.ConfigError) as caught:
        config_of("text-olny")
    assert "text-only" in caught.value.action
