"""Decorators that register parts from outside: what they take, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import outside_parts as parts
import pytest

from fedrec import extend
from fedrec.config import Config, from_tree, named_parts
from fedrec.config.presets import PRESETS, Preset, with_preset
from fedrec.content.registry import TEXT_ENCODERS
from fedrec.errors import ConfigError
from fedrec.model.encoder_text import TextCNN
from fedrec.model.history import MeanHistory
from fedrec.model.registry import FUSIONS, TEXT_ITEM_ENCODERS, USER_TOWERS
from fedrec.privacy.registry import MECHANISMS
from fedrec.registry import Registry, registry_of

CASES: list[tuple[Callable[[], Any], Registry[Any], str, str]] = [
    (
        lambda: extend.register_encoder("text", "words-of-a-test")(parts.Words),
        TEXT_ENCODERS,
        "words-of-a-test",
        "content.text.encoder",
    ),
    (lambda: extend.register_item_encoder("text", "mine")(TextCNN), TEXT_ITEM_ENCODERS, "mine", "model.text_encoder"),
    (lambda: extend.register_fusion("mine")(parts.PlainMean), FUSIONS, "mine", "model.fusion"),
    (lambda: extend.register_user_tower("mine")(MeanHistory), USER_TOWERS, "mine", "model.user_tower"),
    (lambda: extend.register_mechanism("mine")(parts.Laplace), MECHANISMS, "mine", "privacy.noise"),
    (lambda: extend.register_preset("mine")(Preset("mine")), PRESETS, "mine", "model.preset"),
]


@pytest.mark.parametrize(("register", "registry", "name", "setting"), CASES, ids=lambda value: str(value)[:20])
def test_what_is_registered_can_be_set_and_says_where_it_is_from(
    register: Callable[[], Any], registry: Registry[Any], name: str, setting: str
) -> None:
    tree: dict[str, Any] = {}
    place = tree
    *sections, leaf = setting.split(".")
    for section in sections:
        place = place.setdefault(section, {})
    place[leaf] = name
    with pytest.raises(ConfigError, match=leaf):
        from_tree(tree)
    part = register()
    try:
        assert registry[name] is part and name in registry.names()
        assert (registry.kind, name) in set(named_parts(from_tree(tree)))
        assert registry_of(registry.kind) is registry
        assert str(registry.origin(name)).startswith("module ")
        other = object()
        with pytest.raises(ConfigError, match="already"):
            registry.register(name)(other)
    finally:
        registry.unregister(name)
    with pytest.raises(ConfigError, match=leaf):
        from_tree(tree)


def test_a_preset_can_be_what_a_function_makes() -> None:
    @extend.register_preset("made")
    def made() -> Preset:
        return Preset("made", {"model": {"dimension": 9}})

    try:
        assert isinstance(made, Preset)
        assert with_preset(from_tree({"model": {"preset": "made"}})).model.dimension == 9
    finally:
        PRESETS.unregister("made")
    with pytest.raises(ConfigError, match="a preset is a Preset"):
        extend.register_preset("wrong")(lambda: {"model": {}})  # type: ignore[arg-type, return-value]


def test_parts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="modality and kind"):
        extend.register_encoder("text", "another-name")(parts.Words)
    with pytest.raises(ConfigError, match="cannot be chosen"):
        extend.register_encoder("attributes", "mine")
    with pytest.raises(ConfigError, match="already"):
        extend.register_fusion("mean")(parts.PlainMean)
    with pytest.raises(ConfigError, match="lower-case"):
        extend.register_fusion("My Fusion")(parts.PlainMean)


def test_what_is_built_in_stays_and_has_no_origin() -> None:
    for kind, name in named_parts(Config()):
        registry = registry_of(kind)
        registry.unregister(name)
        assert name in registry and registry.origin(name) is None
