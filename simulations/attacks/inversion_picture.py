"""Attack ``inversion-picture``: the content of a private photo from what the server sees of training."""

from __future__ import annotations

from simulations.attacks.inversion import InversionAttack

ATTACK = InversionAttack("inversion-picture", "image")
