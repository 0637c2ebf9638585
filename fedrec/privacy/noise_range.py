"""How much noise a claim may be made with, in units of the sensitivity; apart from the accountant, which takes a second
to import."""

from __future__ import annotations

from typing import Final

from fedrec.errors import PrivacyError

LEAST_NOISE: Final = 1e-2
MOST_NOISE: Final = 1e9


def check_noise_multiplier(value: float) -> None:
    """Raise PrivacyError unless the value is 0.01 to 1e9: below, the claim would be empty; above, it is a slip."""
    if not LEAST_NOISE <= value <= MOST_NOISE:
        wanted = f"a noise multiplier must be {LEAST_NOISE:g} to {MOST_NOISE:g}"
        raise PrivacyError(wanted, value=value, action="Choose another epsilon, or a run without noise")
