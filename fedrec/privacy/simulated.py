"""What every page of a run says first, where there is something that its figures alone would hide.

Of a simulated run, that its noise follows from a seed, so that its figures promise nothing.  Of a deployment whose
noise the server adds, that the server is trusted with exact sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SIMULATED: Final = "simulation: no protection"
KEY: Final = "about"
"""In a ``privacy`` table; the first of its keys where they are sorted, as in a release's ``privacy.json``."""

TRUSTED: Final = "the server is trusted with exact sums"
_SEES: Final = "privacy.noise_place is server: it sees each sum before it adds the noise"
_WHY: Final = "the noise follows from a seed, and whoever knows or guesses it can take the noise off again"


def about(reproducible: bool, noise_place: str | None = None) -> dict[str, str]:
    """What goes before the ``privacy`` table of a run with these settings; often nothing.

    ``noise_place``: of the table, None for a run without noise.
    """
    if reproducible:
        return {KEY: f"{SIMULATED} ({_WHY})"}
    return {KEY: f"{TRUSTED} ({_SEES})"} if noise_place == "server" else {}


def first_line(privacy: Mapping[str, Any]) -> str:
    """The first line of a page about this table; empty where it has none."""
    return str(privacy.get(KEY) or "")
