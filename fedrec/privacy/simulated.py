"""What every page of a simulated run says first: its noise follows from a seed, so its figures promise nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SIMULATED: Final = "simulation: no protection"
KEY: Final = "about"
"""In a ``privacy`` table; the first of its keys where they are sorted, as in a release's ``privacy.json``."""

_WHY: Final = "the noise follows from a seed, and whoever knows or guesses it can take the noise off again"


def about(reproducible: bool) -> dict[str, str]:
    """What goes before the ``privacy`` table of a run with these settings: nothing, unless it is a simulation."""
    return {KEY: f"{SIMULATED} ({_WHY})"} if reproducible else {}


def first_line(privacy: Mapping[str, Any]) -> str:
    """The first line of a page about this table; empty where the run was no simulation."""
    return str(privacy.get(KEY) or "")
