from __future__ import annotations

import pytest

from fedrec.config import from_tree
from fedrec.config.presets import PRESETS, with_preset
from fedrec.errors import ConfigError


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_valid_and_survives_being_written_out(name):
    config = with_preset(from_tree({"model": {"preset": name}}))
    assert config.model.preset == name
    assert with_preset(config) == config
    assert with_preset(from_tree(config.model_dump())) == config


def test_the_default_preset_changes_nothing():
    assert with_preset(from_tree({})) == from_tree({})


def test_a_preset_gives_what_its_name_says():
    text = with_preset(from_tree({"model": {"preset": "text-only"}}))
    assert text.content.modalities == ("text",)
    assert text.collaborative.scoring.weight == 0
    assert not text.collaborative.popularity
    behaviour = with_preset(from_tree({"model": {"preset": "behaviour-only"}}))
    assert not behaviour.model.tower
    assert behaviour.collaborative.scoring.weight == 1


def test_what_was_written_wins_even_where_it_is_the_default():
    written = {"model": {"preset": "personal", "photos": False}, "training": {"positives": 3}}
    config = with_preset(from_tree(written))
    assert config.model.notes
    assert not config.model.photos
    assert (config.training.personal_steps, config.training.positives) == (5, 3)


def test_a_table_that_is_one_setting_is_replaced_whole():
    shares = {"training": 1.0}
    config = with_preset(from_tree({"model": {"preset": "personal"}, "privacy": {"shares": shares}}))
    assert config.privacy.shares == shares


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="text-only"):
        with_preset(from_tree({"model": {"preset": "txt"}}))


def test_modalities_of_a_prior_replace_those_of_the_preset():
    written = {"model": {"preset": "fedrec"}, "collaborative": {"prior": {"modalities": {"text": 1}}}}
    config = with_preset(from_tree(written))
    assert config.collaborative.prior.modalities == {"text": 1}
    assert config.collaborative.prior.sharpness == 1.5
    assert config.collaborative.power_iteration.enabled


def test_a_section_that_is_there_and_empty_keeps_what_the_preset_says_of_it():
    config = with_preset(from_tree({"model": {"preset": "fedrec"}, "collaborative": {"fold_in": {}}}))
    assert config.collaborative.fold_in is not None and config.collaborative.fold_in.weight == 0.5
    assert with_preset(from_tree({"training": {"stopping": {}}})).training.stopping is not None
    without = with_preset(from_tree({"model": {"preset": "fedrec"}, "collaborative": {"fold_in": None}}))
    assert without.collaborative.fold_in is None
