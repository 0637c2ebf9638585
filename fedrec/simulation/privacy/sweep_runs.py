"""The runs of a sweep: which there are, side by side in processes that read the data once each, and taken up again.

Every run is a whole `simulate`, with its ledger and release.  Quality is measured at its end only, and each process
computes on one thread, so that runs side by side do not share a core.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrec.config import Config, load
from fedrec.console import Reporter, SilentReporter
from fedrec.cores import Cores
from fedrec.data.sources import Source
from fedrec.errors import ConfigError, FedrecError
from fedrec.simulation.privacy.sweep_table import table_of
from fedrec.simulation.run import settled, simulate
from fedrec.simulation.study import Study, assemble, prepare
from fedrec.simulation.workers import process_pool

RUN = "run.json"


@dataclass(frozen=True)
class SweepCurve:
    """A curve: its name, and the settings it changes as ``section.key=value``."""

    name: str
    overrides: tuple[str, ...]

    @property
    def slug(self) -> str:
        """A short name for directories; empty of no changes."""
        return hashlib.sha256(" ".join(self.overrides).encode()).hexdigest()[:8] + "-" if self.overrides else ""


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep. ``epsilon`` is infinite for a run without noise."""

    variant: SweepCurve
    epsilon: float
    seed: int
    config: Config
    out: Path


def epsilons_of(text: str) -> list[float]:
    """Read ``0.5,1,inf``, ascending and each once.

    Raises:
        ConfigError: a part is no number, is not above 0, or none is there.
    """
    try:
        found = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError:
        found = []
    if not found or not all(epsilon > 0 for epsilon in found):  # also refuses NaN
        raise ConfigError("epsilons are numbers above 0, or inf, with commas between", value=text)
    return found


def run_sweep(
    config: Path,
    data: Source,
    out: Path,
    *,
    epsilons: Sequence[float],
    seeds: int,
    variants: Sequence[SweepCurve],
    overrides: Sequence[str],
    workers: int,
    reporter: Reporter,
) -> dict[str, Any]:
    """Run what is not finished yet, and return the table, JSON-able (`sweep_table.table_of`).

    Raises:
        FedrecError: bad settings or data, or ``out`` holds runs of other settings.
    """
    started = time.perf_counter()
    jobs = list(jobs_of(config, out, epsilons, seeds, variants, overrides))
    kept = run_jobs(jobs, data, workers=workers, reporter=reporter)
    results = [(job.variant.name, job.epsilon, job.seed, run) for job, run in zip(jobs, kept, strict=True)]
    return table_of(load(config, overrides).run.name, results) | {"seconds": time.perf_counter() - started}


def run_jobs(jobs: Sequence[SweepJob], data: Source, *, workers: int, reporter: Reporter) -> list[dict[str, Any]]:
    """Do the jobs that are not finished yet; the content of ``run.json`` of each, in their order.

    Raises:
        FedrecError: bad settings or data, or a directory holds a run of other settings.
    """
    kept = {job.out: _finished(job) for job in jobs}
    waiting = [job for job in jobs if kept[job.out] is None]
    count = min(workers or Cores.here().threads(), len(waiting))
    if waiting:
        reporter.stage(f"{len(waiting)} of {len(jobs)} runs to do, {count} side by side")
    for done, (job, run) in enumerate(_all_runs(waiting, data, count, reporter), start=1):
        kept[job.out] = run
        reporter.progress(done, len(waiting), "runs")
    return [kept[job.out] or {} for job in jobs]


def jobs_of(
    path: Path,
    out: Path,
    epsilons: Sequence[float],
    seeds: int,
    variants: Sequence[SweepCurve],
    overrides: Sequence[str],
) -> Iterator[SweepJob]:
    """All runs: the dearest first, so that the last ones to end are short."""
    for variant in variants:
        config = load(path, [*overrides, *variant.overrides])
        for epsilon in epsilons:
            for number in range(seeds):
                seed = config.run.seed + number
                name = f"{variant.slug}epsilon-{epsilon:g}-seed-{seed}"
                yield SweepJob(variant, epsilon, seed, at(config, epsilon, seed), out / "runs" / name)


def at(config: Config, epsilon: float, seed: int) -> Config:
    """The settings of one run of many: this budget (infinite = no noise) and seed, one thread, measured at its end."""
    return config.model_copy(
        update={
            "run": config.run.model_copy(update={"seed": seed}),
            "privacy": config.privacy.model_copy(update={"epsilon": None if math.isinf(epsilon) else epsilon}),
            "evaluation": config.evaluation.model_copy(update={"every": 0}),
            "speed": config.speed.model_copy(update={"threads": 1}),
        }
    )


def _finished(job: SweepJob) -> dict[str, Any] | None:
    """The record of a run that is there already.

    Raises:
        ConfigError: it is of other settings.
    """
    try:
        run: dict[str, Any] = json.loads((job.out / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    asked = run.get("config_asked") or run.get("config")  # what it was before parts that the data lacks were left out
    if asked != settled(job.config).model_dump(mode="json"):
        action = "Use another --out directory"
        raise ConfigError("the directory has runs of other settings", value=str(job.out), action=action)
    return run


def _all_runs(
    jobs: Sequence[SweepJob], data: Source, workers: int, reporter: Reporter
) -> Iterator[tuple[SweepJob, dict[str, Any]]]:
    if not jobs:
        return
    if workers == 1:
        study: dict[str, Study] = {}
        for job in jobs:
            yield job, _run(job, data, study)
        return
    for content in {job.config.content.model_dump_json(): job.config for job in jobs}.values():
        prepare(settled(content), data, reporter)  # once, so that all processes find it in the cache
    with ExitStack() as stack:
        pool = stack.enter_context(process_pool(workers))
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        futures: dict[Future[dict[str, Any]], SweepJob] = {pool.submit(_run_here, job, data): job for job in jobs}
        for future in as_completed(futures):
            found = future.result()
            if "failed" in found:
                what, value, action = found["failed"]
                raise ConfigError(f"{futures[future].out.name}: {what}", value=value, action=action)
            yield futures[future], found


_STUDIES: dict[str, Study] = {}  # of this process


def _run_here(job: SweepJob, data: Source) -> dict[str, Any]:
    """One run in a process of a pool; errors come back as text, since not all of them can be pickled."""
    try:
        return _run(job, data, _STUDIES)
    except FedrecError as error:
        return {"failed": (error.what, None if error.value is None else str(error.value), error.action)}


def _run(job: SweepJob, data: Source, studies: dict[str, Study]) -> dict[str, Any]:
    config, reporter = settled(job.config), SilentReporter()
    known = config.content.model_dump_json()
    if known not in studies:
        studies.clear()  # the data of one content at a time
        studies[known] = prepare(config, data, reporter)
    read = studies[known]
    study = assemble(config, read.dataset, read.features, read.encoders)
    return simulate(job.config, data, job.out, reporter=reporter, study=study)
