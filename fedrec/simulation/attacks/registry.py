"""The attacks there are: every module of this folder that exposes ``ATTACK``, or several as ``ATTACKS``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

import fedrec.simulation.attacks
from fedrec.errors import ConfigError
from fedrec.simulation.attacks.result import Attack


def all_attacks() -> dict[str, Attack]:
    """Every attack by its name, in the order of the names."""
    found: dict[str, Attack] = {}
    for module in pkgutil.iter_modules(fedrec.simulation.attacks.__path__):
        loaded = importlib.import_module(f"{fedrec.simulation.attacks.__name__}.{module.name}")
        single: Attack | None = getattr(loaded, "ATTACK", None)
        several: Sequence[Attack] = getattr(loaded, "ATTACKS", () if single is None else (single,))
        found |= {attack.name: attack for attack in several}
    return dict(sorted(found.items()))


def chosen(names: Sequence[str], *, everything: bool) -> list[Attack]:
    """The attacks of these names, or all.

    Raises:
        ConfigError: a name that is none, or neither names nor ``everything``.
    """
    known = all_attacks()
    unknown = [name for name in names if name not in known]
    if unknown or not (names or everything):
        raise ConfigError(
            "no such attack" if unknown else "no attack was named",
            value=unknown or None,
            action=f"Name some of {', '.join(known)}, or give --all",
        )
    return list(known.values()) if everything else [known[name] for name in dict.fromkeys(names)]
