"""Settings held to the content that there is: parts of a config that the data lacks are left out, with a word.

Server and devices each do this with the catalogue that they share, so what a device expects is what the server asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, get_args

import numpy as np

from fedrec.config import CollaborativeSettings, Config, Modality, ModelSettings, from_tree
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError

# What users own is encoded as items are.
_OWN: Final = {"notes": "text", "photos": "image"}
# Encoders of content that leave it to the model to read it; what they give is no float32 vector.
_RAW: Final = {"text": ("tokens", "minilm-states"), "image": ("pixels",), "audio": ("logmel",)}


def fit_to_content(config: Config, features: Features) -> tuple[Config, list[str]]:
    """Leave out of the settings what the catalogue has nothing of.

    A modality that no item has goes out of ``content.modalities``, ``model.reads`` and
    ``collaborative.prior.modalities``; with text go the users' notes, with pictures their photos, and with attributes
    the task of predicting them.  Where nothing is left of the prior its weight is 0, and co-occurrence is asked for in
    place of power iteration, which starts from content.  Where no item has any content, edges of content go out of
    ``model.graph``, and a tower that would read nothing is left out: items are ranked by what the private sums say.
    Ready-made features where the content was to be read as tokens, pixels or spectra are read by a head.

    Args:
        config: the settings, with their preset applied.
        features: of the catalogue, as encoded by these settings.

    Returns:
        The settings and a sentence for each thing that was changed.  The config itself, unchanged, where the catalogue
        has all that it names; so fitting twice is fitting once.

    Raises:
        ConfigError: ``model.reads`` names nothing that there is, or co-occurrence cannot take the place of power
            iteration.
    """
    absent = [name for name in get_args(Modality) if name not in features.values]
    said = [_sentence(config, name, places) for name in absent if (places := _places(config, name))]
    tree = config.model_dump()
    said += _fit_ready(config, features, tree["model"])
    if not said:
        return config, []
    tree["content"]["modalities"] = [name for name in config.content.modalities if name not in absent]
    nothing = len(absent) == len(get_args(Modality))
    tree["model"]["reads"] = _reads(config.model, absent, spared=nothing and config.collaborative.pairwise)
    tree["model"] |= {own: False for own, name in _OWN.items() if name in absent}
    if config.training.auxiliary and "attributes" in absent:
        tree["training"]["auxiliary"] = 0.0
        said.append("training.auxiliary is 0: there are no attributes to predict")
    said += _fit_prior(config, absent, tree["collaborative"])
    if nothing:
        said += _fit_to_nothing(config, tree)
    return from_tree(tree), said


def ranks_without_content(config: Config) -> bool:
    """Whether a run with these settings has something to rank by where no item has any content: private sums of which
    items are used together, or what the tower reads beside content."""
    return config.collaborative.pairwise or _reads_beside_content(config)


def _reads_beside_content(config: Config) -> bool:
    return config.collaborative.feature_columns > 0 or config.model.id_embedding


def _fit_to_nothing(config: Config, tree: dict[str, Any]) -> list[str]:
    """Take out of ``tree`` what cannot work without any content; say what."""
    said = []
    if config.model.graph in ("content", "both"):
        tree["model"]["graph"] = {"content": "none", "both": "cooccurrence"}[config.model.graph]
        said.append(f"model.graph is {tree['model']['graph']}: without content there are no edges of it")
    if config.model.tower and not _reads_beside_content(config) and config.collaborative.pairwise:
        tree["model"]["tower"] = False
        prior = tree["collaborative"]["prior"]
        if prior["modalities"].pop("tower", None) is not None and not prior["modalities"]:
            prior["weight"] = 0.0
        tree["collaborative"]["scoring"]["weight"] = 1.0
        said.append("model.tower is false: it would read nothing; items are ranked by the private sums alone")
    return said


def _fit_ready(config: Config, features: Features, tree: dict[str, Any]) -> list[str]:
    """Give ready-made features a head in ``tree``, the section ``model``, in place of what reads raw content."""
    said = []
    for name, raw in _RAW.items():
        values, key = features.values.get(name), f"{name}_encoder"
        chosen = getattr(config.model, key)
        made = values is not None and values.ndim == 2 and values.dtype == np.float32
        if made and chosen != "head" and getattr(config.content, name).encoder in raw:
            tree[key] = "head"
            said.append(f"{name}: the data brings ready-made features; model.{key} is head, since {chosen} reads none")
    return said


def _places(config: Config, name: str) -> list[str]:
    """The settings that name a modality."""
    own = {f"model.{key}": (modality,) for key, modality in _OWN.items() if getattr(config.model, key)}
    naming: dict[str, Iterable[str]] = {
        "content.modalities": config.content.modalities,
        "model.reads": config.model.reads,
        **own,
        "collaborative.prior.modalities": config.collaborative.prior.modalities,
    }
    return [key for key, names in naming.items() if name in names]


def _sentence(config: Config, name: str, places: list[str]) -> str:
    there = name in config.content.modalities
    why = "no item of the catalogue has it" if there else "content.modalities leaves it out"
    return f"{name}: {why}; left out of {', '.join(places)}"


def _reads(model: ModelSettings, absent: list[str], *, spared: bool) -> list[str]:
    """What is left of ``model.reads``, which may be nothing where the tower is ``spared`` reading."""
    kept: list[str] = [name for name in model.reads if name not in absent]
    if model.tower and model.reads and not kept and not spared:
        raise ConfigError(
            "model.reads names only modalities that no item of the catalogue has",
            value=list(model.reads),
            action="Name one that the data set has, or choose a preset that needs none, such as behaviour-only",
        )
    return kept


def _fit_prior(config: Config, absent: list[str], tree: dict[str, Any]) -> list[str]:
    """Take absent modalities out of the prior in ``tree``, the section ``collaborative``; say what became of it."""
    settings = config.collaborative
    kept = {name: weight for name, weight in settings.prior.modalities.items() if name not in absent}
    if kept == settings.prior.modalities:
        return []
    tree["prior"]["modalities"] = kept
    if kept or not settings.has_prior:
        return []
    tree["prior"]["weight"] = 0.0
    said = ["collaborative.prior.weight is 0: nothing is left of the prior"]
    if settings.power_iteration.enabled:
        _check_cooccurrence(config, settings)
        tree["cooccurrence"]["enabled"] = True
        tree["power_iteration"] |= {"enabled": False, "steps": 0}
        said.append("co-occurrence is asked for in place of power iteration, which starts from content")
    return said


def _check_cooccurrence(config: Config, settings: CollaborativeSettings) -> None:
    """Raise ConfigError where co-occurrence cannot take the place of power iteration."""
    action = "Set collaborative.power_iteration.enabled=false and {}, or rank by content that the data set has"
    what = "power iteration starts from content that no item of the catalogue has, and co-occurrence cannot replace it"
    if config.privacy.epsilon is None:
        return
    if config.privacy.shares and "cooccurrence" not in config.privacy.shares:
        raise ConfigError(
            f"{what}: it has no share of the privacy budget",
            value=sorted(config.privacy.shares),
            action=action.format("give cooccurrence a share in privacy.shares"),
        )
    if settings.cooccurrence.normalise != 1:
        raise ConfigError(
            f"{what}: its parts have no small bound",
            value=settings.cooccurrence.normalise,
            action=action.format("set collaborative.cooccurrence.normalise=1"),
        )
