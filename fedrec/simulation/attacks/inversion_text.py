"""Attack ``inversion-text``: the content of a private note from what the server sees of training."""

from __future__ import annotations

from fedrec.simulation.attacks.inversion import InversionAttack

ATTACK = InversionAttack("inversion-text", "text")
