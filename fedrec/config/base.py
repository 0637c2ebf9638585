"""What every section of a run's settings is: frozen, and strict about its keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen; an unknown key is an error, so a typing slip never silently changes a run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
