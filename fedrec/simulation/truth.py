"""The name of the file with a shop's truth, for what looks for one without loading all that makes a shop."""

from __future__ import annotations

from typing import Final

TRUTH: Final = "oracle.safetensors"
