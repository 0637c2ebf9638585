"""Attack ``attribute-gender``: a user's gender from what the server sees of training."""

from __future__ import annotations

from fedrec.simulation.attacks.attributes import AttributeAttack, women

ATTACK = AttributeAttack("attribute-gender", women)
