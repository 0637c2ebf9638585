"""Which run it is, what it measures, how fast it goes: settings that change no claim."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedrec.config.base import Settings

Engine = Literal["cohort", "grid", "flower"]
ComputeDevice = Literal["auto", "cpu", "cuda", "mps"]
GradSample = Literal["auto", "bookkeeping", "hooks", "ghost", "functional"]


class RunSettings(Settings):
    """Which run this is."""

    name: str = Field(default="run", description="what the run and its release are called")
    seed: int = Field(default=0, ge=0, lt=2**63, description="fixes everything but secrets")
    engine: Engine = Field(
        default="cohort",
        description="cohort: all rows of a cohort in one vectorised pass. grid: every message of the protocol, in this "
        "process. flower: on Flower's runtime, started with flwr run",
    )
    reproducible: bool = Field(
        default=False,
        description="noise and sampling are derived from the seed too, so that a run can be repeated; for simulations "
        "only, since it protects from nobody who knows the seed",
    )


class EvaluationSettings(Settings):
    """What is measured."""

    every: int = Field(default=5, ge=0, description="a quality point each so many rounds (0 = only at the end)")
    split: Literal["test", "valid"] = Field(
        default="test",
        description="test, or valid while tuning, which scores the validation item and never looks at the test item",
    )
    users: int = Field(default=0, ge=0, description="at most so many users are measured, the first ones (0 = all)")
    cold: float = Field(
        default=0.0,
        ge=0,
        le=0.9,
        description="share of the items that no history, sum or pool of negatives holds, only the catalogue; ranked "
        "among themselves at the end; simulations only",
    )
    history_at_most: tuple[Annotated[int, Field(ge=0, le=100_000)], ...] = Field(
        default=(),
        max_length=16,
        description="also measure at the end as if each device knew the last n events of its user only, and the notes "
        "and photos, for each n of this list, such as [0, 1, 3]; training is as it was; simulations only",
    )
    private_metrics: bool = Field(default=False, description="also ask devices for metrics, as a private sum")


class SpeedSettings(Settings):
    """Knobs that change time and memory, never a result beyond rounding."""

    batch_rows: int = Field(
        default=64,
        ge=1,
        description="rows whose gradients are taken at once, so as to stay in cache; four times as many where a row "
        "needs no features, since the table of items is encoded once a batch",
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="torch threads (0: the command line and the apps take the cores that are free when they start, a "
        "program that imports fedrec keeps its own); the last digits of a result may depend on it",
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=256,
        description="processes in which the devices of engine grid answer (1 = in this one, 0 = one a core from 200 "
        "devices on)",
    )
    device: ComputeDevice = Field(
        default="cpu",
        description="where a simulation or a server encodes, trains and solves. auto: an accelerator where one is "
        "there. mps has no float64, in which rows are clipped and sums solved: it only encodes. Results are the same "
        "up to rounding; noise is drawn on the processor whatever the device is, and users' devices use theirs",
    )
    grad_sample: GradSample = Field(
        default="auto",
        description="how a row's gradient is found. bookkeeping: from what dense layers and embeddings read and gave. "
        "hooks, ghost: by Opacus, whole or as factors. functional: by torch.func. auto: what fits the model",
    )
