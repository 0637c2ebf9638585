"""Attack ``inversion-picture``: the content of a private photo from what the server sees of training."""

from __future__ import annotations

from fedrec.simulation.attacks.inversion import InversionAttack

ATTACK = InversionAttack("inversion-picture", "image")
