"""Contracts: what a part from outside owes, as suites that its tests inherit.

    from fedrec.testing import TEXTS, EncoderContract

    class TestMine(EncoderContract):
        ...

pytest collects the subclass; every built-in part passes the same suites.  They need pytest, which fedrec does not
install: ``pip install pytest``.  Nothing else of fedrec imports this package.
"""

from fedrec.testing.encoders import PICTURES, TEXTS, EncoderContract
from fedrec.testing.mechanisms import MechanismContract
from fedrec.testing.models import FusionContract, ModelContract
from fedrec.testing.presets import PresetContract
from fedrec.testing.queries import QueryContract

__all__ = [
    "PICTURES",
    "TEXTS",
    "EncoderContract",
    "FusionContract",
    "MechanismContract",
    "ModelContract",
    "PresetContract",
    "QueryContract",
]
