"""Attack ``attribute-age``: whether a user is older than most, from what the server sees of training."""

from __future__ import annotations

from fedrec.simulation.attacks.attributes import AttributeAttack, older

ATTACK = AttributeAttack("attribute-age", older)
