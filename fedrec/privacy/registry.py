"""The mechanisms by name: what ``privacy.noise`` can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedrec.registry import Registry

if TYPE_CHECKING:
    from fedrec.privacy.mechanism import Mechanism

INDEPENDENT: Final = "independent"
MECHANISMS: Final[Registry[type[Mechanism]]] = Registry(
    "mechanism",
    {
        INDEPENDENT: "fedrec.privacy.mechanism:GaussianMechanism",
        "banded": "fedrec.privacy.banded_noise:BandedMechanism",
    },
    group="fedrec.mechanisms",
)


def declared(noise: str) -> str | None:
    """How a cost names a mechanism: None where its costs are those of a Gaussian, which compose exactly.

    Raises:
        ConfigError: it is not registered here, or cannot be loaded.
    """
    return None if MECHANISMS[noise].gaussian else noise
