"""Which run it is, what it measures, how fast it goes: settings that change no claim."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedrec.config.base import Settings

Engine = Literal["cohort", "grid", "flower"]
GradSample = Literal["auto", "hooks", "ghost", "functional"]


class RunSettings(Settings):
    """Which run this is. ``seed`` fixes everything but secrets. ``reproducible``: noise and sampling are derived from
    the seed too, so that a run can be repeated; for simulations only, since it protects from nobody who knows the seed.
    """

    name: str = "run"
    seed: int = Field(default=0, ge=0, lt=2**63)
    engine: Engine = "cohort"
    reproducible: bool = False


class EvaluationSettings(Settings):
    """What is measured. ``every``: a quality point each so many rounds (0 = only at the end). ``split``: ``test``, or
    ``valid`` while tuning, which scores the validation item and never looks at the test item. ``cold``: a share of
    the items that no history, sum or pool of negatives holds, only the catalogue; ranked among themselves at the end.
    """

    every: int = Field(default=5, ge=0)
    split: Literal["test", "valid"] = "test"
    users: int = Field(default=0, ge=0, description="at most so many users, the first ones (0 = all)")
    cold: float = Field(default=0.0, ge=0, le=0.9, description="share of items kept out of training; simulations only")
    private_metrics: bool = Field(default=False, description="also ask devices for metrics, as a private sum")


class SpeedSettings(Settings):
    """Knobs that change time and memory, never a result beyond rounding."""

    batch_rows: int = Field(default=64, ge=1, description="so many rows' gradients stay in cache")
    threads: int = Field(default=0, ge=0, description="torch threads (0 = as torch likes)")
    grad_sample: GradSample = "auto"
