"""Parts of your own: registered from outside the package, chosen in settings by name, used by every engine.

A decorator adds a part to this process:

    from fedrec.content.encoder import Encoder
    from fedrec.extend import register_encoder

    @register_encoder("text", "mine")
    class Mine(Encoder[str]):
        ...

after which ``content.text.encoder = "mine"`` is as good a setting as any.  Processes that an engine or operator starts
(Flower's, the command line) find parts of an installed package by its entry points:

    [project.entry-points."fedrec.text_encoders"]
    mine = "my_package.encoders:Mine"

(groups: ``fedrec.{text,image,audio,video}_encoders``, ``fedrec.{text,image,audio}_item_encoders``, ``fedrec.fusions``,
``fedrec.user_towers``, ``fedrec.presets``, ``fedrec.mechanisms``, ``fedrec.queries``), and those of modules that the
environment variable
``FEDREC_PLUGINS`` names, which must register with the decorators when they are imported.

Server and devices run the same code, so all of them need the part: a release says which it needs (`fedrec.release`).
Each kind has a contract in `fedrec.testing`, which your tests inherit; what it cannot check, a part is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from fedrec.config.presets import PRESETS, Preset
from fedrec.content.registry import ENCODERS
from fedrec.errors import ConfigError
from fedrec.model.registry import FUSIONS, ITEM_ENCODERS, USER_TOWERS
from fedrec.privacy.registry import MECHANISMS
from fedrec.queries.registry import QUERIES
from fedrec.registry import Registry

if TYPE_CHECKING:
    from fedrec.content.registry import AnyEncoder
    from fedrec.model.fusion_weights import Fusion
    from fedrec.model.history import History
    from fedrec.model.item_encoder import ItemEncoder
    from fedrec.privacy.mechanism import Mechanism
    from fedrec.queries.query import Query

__all__ = [
    "register_encoder",
    "register_fusion",
    "register_item_encoder",
    "register_mechanism",
    "register_preset",
    "register_query",
    "register_user_tower",
]

T = TypeVar("T")
E = TypeVar("E", bound="type[AnyEncoder]")
I = TypeVar("I", bound="type[ItemEncoder]")  # noqa: E741
F = TypeVar("F", bound="type[Fusion]")
H = TypeVar("H", bound="type[History]")
M = TypeVar("M", bound="type[Mechanism]")
Q = TypeVar("Q", bound="type[Query]")


def register_encoder(modality: str, name: str) -> Callable[[E], E]:
    """Add an encoder of content: a subclass of `fedrec.content.encoder.Encoder`, for ``content.<modality>.encoder``.

    Its ``modality`` and ``kind`` are the two given here, by which a release finds it again.

    Raises:
        ConfigError: no such modality, a name that is taken or no word, or a class of another modality or kind.
    """
    registry = _of(ENCODERS, modality)

    def add(encoder: E) -> E:
        if (encoder.modality, encoder.kind) != (modality, name):
            raise ConfigError(
                "an encoder's modality and kind are those that it is registered under",
                value=(encoder.modality, encoder.kind),
                action=f"Set modality = {modality!r} and kind = {name!r} in the class",
            )
        registry.register(name)(encoder)
        return encoder

    return add


def register_item_encoder(modality: str, name: str) -> Callable[[I], I]:
    """Add a trained encoder of the model: a subclass of `fedrec.model.item_encoder.ItemEncoder`.

    It is chosen by ``model.<modality>_encoder``.

    Raises:
        ConfigError: no such modality, or a name that is taken or no word.
    """
    return _adding(_of(ITEM_ENCODERS, modality), name)


def register_fusion(name: str) -> Callable[[F], F]:
    """Add a fusion, a subclass of `fedrec.model.fusion_weights.Fusion`, for ``model.fusion``. Raises ConfigError."""
    return _adding(FUSIONS, name)


def register_user_tower(name: str) -> Callable[[H], H]:
    """Add a user tower, a subclass of `fedrec.model.history.History`, for ``model.user_tower``. Raises ConfigError."""
    return _adding(USER_TOWERS, name)


def register_mechanism(name: str) -> Callable[[M], M]:
    """Add a mechanism, a subclass of `fedrec.privacy.mechanism.Mechanism`, for ``privacy.noise``. Raises ConfigError.

    The accountant believes what it declares of itself.
    """
    return _adding(MECHANISMS, name)


def register_query(query: Q) -> Q:
    """Add a query: a subclass of `fedrec.queries.query.Query`, asked where a config has ``[queries.<its name>]``.

    Its shared half names its device half by address (``encoder``), which every device must be able to import.  An entry
    point of the group ``fedrec.queries`` names an instance.  Its contract is `fedrec.testing.queries.QueryContract`.

    Raises:
        ConfigError: its name is taken or no word, or it names no device half.
    """
    if ":" not in query.encoder:
        raise ConfigError(
            "a query names its device half",
            value=query.encoder,
            action='Set encoder = "my_package.my_module:MyEncoder"',
        )
    QUERIES.register(query.name)(query())
    return query


def register_preset(name: str) -> Callable[[Preset | Callable[[], Preset]], Preset]:
    """Add a preset, or what a function without arguments makes, for ``model.preset``.

    Raises:
        ConfigError: a name that is taken or no word, or something else than a `fedrec.config.presets.Preset`.
    """

    def add(made: Preset | Callable[[], Preset]) -> Preset:
        preset = made if isinstance(made, Preset) else made()
        if not isinstance(preset, Preset):
            raise ConfigError("a preset is a Preset: a summary and settings", value=type(preset).__name__)
        return PRESETS.register(name)(preset)

    return add


def _of(registries: Mapping[str, Registry[T]], modality: str) -> Registry[T]:
    if modality not in registries:
        what = "this modality's encoder cannot be chosen"
        raise ConfigError(what, value=modality, action=f"Use one of {', '.join(registries)}")
    return registries[modality]


def _adding(registry: Registry[Any], name: str) -> Callable[[T], T]:
    """The registry's own decorator, for subclasses of what it holds."""
    decorator: Callable[[T], T] = registry.register(name)
    return decorator
