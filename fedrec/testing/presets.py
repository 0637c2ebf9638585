"""What every preset owes: settings that are valid, planned and built, beneath what a user writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, get_args

import pytest

from fedrec.config import Config, Engine, Settings, from_tree, with_protocol
from fedrec.config.base import section_of
from fedrec.config.presets import PRESETS, with_preset
from fedrec.errors import ConfigError
from fedrec.model.recommender import Recommender
from fedrec.privacy.accountant import epsilon
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import costs_of
from fedrec.queries.sizing import sized_by_noise

_USERS, _ITEMS, _EPSILON = 1000, 500, 8.0


class PresetContract:
    """What a preset owes.

        class TestMine(PresetContract):
            preset = "mine"
            shapes = {"text": (16,), "image": (8,)}

    ``preset``: the name that it is registered under.  ``shapes``: of one item's feature for each modality that its
    encoders give, where its model is to be built; none named = it is not.
    """

    preset: ClassVar[str]
    shapes: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    @pytest.fixture
    def config(self) -> Config:
        return with_preset(from_tree({"model": {"preset": self.preset}}))

    def test_it_says_what_it_is_in_a_line(self) -> None:
        summary = PRESETS[self.preset].summary
        assert summary.strip() and summary.isprintable() and len(summary) <= 200

    def test_it_is_valid_and_survives_being_written_out(self, config: Config) -> None:
        assert config.model.preset == self.preset
        assert with_preset(config) == config
        assert with_preset(from_tree(config.model_dump())) == config

    def test_it_gives_what_it_says(self, config: Config) -> None:
        settled = config.model_dump(mode="json")
        for path, value in _leaves(PRESETS[self.preset].settings):
            assert _at(settled, path) == value, path

    def test_what_is_written_wins(self) -> None:
        """One setting after the other is set back to its default, as far as the preset's others allow it."""
        plain = Config().model_dump(mode="json")
        settings = [(path, _at(plain, path)) for path, value in _leaves(PRESETS[self.preset].settings)]
        tried = 0
        for path, default in settings:
            written: dict[str, Any] = {"model": {"preset": self.preset}}
            place = written
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = default
            try:
                settled = with_preset(from_tree(written)).model_dump(mode="json")
            except ConfigError:
                continue
            assert _at(settled, path) == default, path
            tried += 1
        assert tried or not settings, "nothing that this preset sets can be set otherwise"

    @pytest.mark.parametrize("engine", get_args(Engine))
    def test_every_engine_takes_it(self, config: Config, engine: Engine) -> None:
        assert with_protocol(config, engine).secure_aggregation.protocol != "auto"

    def test_a_private_run_of_it_keeps_its_budget(self) -> None:
        tree = {"model": {"preset": self.preset}, "privacy": {"epsilon": _EPSILON}}
        config = sized_by_noise(with_preset(from_tree(tree)), _USERS, _ITEMS)
        costs = costs_of(config, _USERS)
        assert costs, "a private run asks nothing that would cost anything"
        assert epsilon(costs, delta_of(config, _USERS)) <= _EPSILON

    def test_its_model_can_be_built(self, config: Config) -> None:
        if not self.shapes or not config.model.tower:
            pytest.skip("no shapes of features are given, or there is no tower")
        model = Recommender(config.model, self.shapes, seed=1, temperature=config.training.temperature, items=5)
        assert set(model.modalities) <= set(self.shapes)


def _leaves(
    tree: Mapping[str, Any], section: type[Settings] = Config, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting of a tree that is no section, with its path; a table that is one setting counts as one."""
    for name, value in tree.items():
        field = section.model_fields.get(name)
        inner = None if field is None else section_of(field)
        if inner is not None and isinstance(value, Mapping):
            yield from _leaves(value, inner, (*path, name))
        else:
            yield (*path, name), value


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    """The setting at a path; None where a section on the way is null."""
    for name in path:
        tree = None if tree is None else tree[name]
    return tree
