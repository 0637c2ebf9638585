"""Audited runs, one after the other: for each epsilon and seed a run with canaries, judged alone and all together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from fedrec.accelerator import use_device
from fedrec.audit.canaries import Canaries
from fedrec.audit.verdict import bounds, pooled
from fedrec.config import Config, from_tree, with_protocol
from fedrec.config.presets import with_preset
from fedrec.console import Reporter
from fedrec.content.fit import fit_to_content
from fedrec.content.left_out import say_fitted
from fedrec.errors import ConfigError
from fedrec.privacy.ledger import Budget, Ledger
from fedrec.privacy.run_plan import delta_of, with_interactions_counted
from fedrec.queries.sizing import sized_by_noise
from fedrec.server.run import FederatedRun
from fedrec.server.state import ServerState
from fedrec.simulation.engines.audited import AuditedDevices
from fedrec.simulation.privacy.auditor import Auditor, Evidence
from fedrec.simulation.study import Study, prepare
from fedrec.thread_settings import use_threads

if TYPE_CHECKING:
    from fedrec.data.sources import Source

DEFAULT_CANARIES = 500


@dataclass(frozen=True)
class AuditRuns:
    """The runs of one claim: their evidence and how long each took, in seconds."""

    runs: tuple[Evidence, ...]
    seeds: tuple[int, ...]
    seconds: tuple[float, ...]

    def facts(self) -> dict[str, Any]:
        """JSON-able: each run's own bounds, and those of all runs together, which are the tightest."""
        first = self.runs[0]
        together = bounds(first.claim, pooled([run.counts() for run in self.runs]), first.confidence)
        runs = [
            {"seed": seed, "seconds": round(took, 2), **run.facts()}
            for run, seed, took in zip(self.runs, self.seeds, self.seconds, strict=True)
        ]
        return {**together, "together": len(self.runs), "runs": runs}


def audit(
    config: Config, data: Source, *, epsilons: Sequence[float], seeds: Sequence[int], reporter: Reporter
) -> dict[str, Any]:
    """Audit a config on a data set, once for each epsilon and seed.

    Args:
        config: what to audit; ``audit.canaries`` 0 means 500 of them.
        data: anything that `fedrec.data.sources.read_data` takes.
        epsilons: claims to audit; none: the config's own.
        seeds: of noise, sampling and coins, one a run.

    Returns:
        ``{"schema", "data", "canaries", "unit", "audits": [one an epsilon], "violated": is any claim refuted}``.

    Raises:
        ConfigError: there is no claim to test, or a setting does not fit an audit.
        FedrecError: as `prepare` and `FederatedRun` do.
    """
    config = with_canaries_set(config, epsilons)
    study = prepare(config, data, reporter)
    config, left_out = fit_to_content(config, study.features)
    say_fitted(left_out, reporter)
    config = with_interactions_counted(config, len(study.dataset.interactions))
    found = []
    assert config.privacy.epsilon is not None
    for target in epsilons or (config.privacy.epsilon,):
        reporter.stage(f"Auditing epsilon {target:g}")
        audits = []
        for done, seed in enumerate(seeds):
            began = time.perf_counter()
            audits.append((audited_run(_claiming(config, target, seed), study), time.perf_counter() - began))
            reporter.progress(done + 1, len(seeds), "runs")
        runs, seconds = zip(*audits, strict=True)
        found.append(AuditRuns(runs, tuple(seeds), seconds).facts())
    return {
        "schema": 1,
        "data": study.facts(),
        "canaries": config.audit.canaries,
        "unit": config.privacy.unit,
        "audits": found,
        "violated": any(one["violated"] for one in found),
    }


def audited_run(config: Config, study: Study) -> Evidence:
    """One run with canaries, in a directory that is thrown away; nothing is released."""
    with TemporaryDirectory(prefix="fedrec-audit-") as place:
        out = Path(place)
        delta = delta_of(config, len(study.population))
        config = sized_by_noise(with_delta(config, delta), len(study.population), len(study.features))
        devices = audited_devices(config, study)
        auditor = Auditor(config, devices)
        assert config.privacy.epsilon is not None
        budget = Budget(config.privacy.epsilon, delta, config.privacy.unit)
        with Ledger.open(out / "ledger.sqlite", budget) as ledger, ServerState(None, "audit") as state:
            outcome = FederatedRun(config, study.features, devices, ledger, state, auditor.note).run()
    return auditor.evidence(outcome.costs, delta)


def audited_devices(config: Config, study: Study) -> AuditedDevices:
    """The study's users and the config's canaries."""
    canaries = Canaries.draw(
        config.audit.canaries,
        len(study.features.ids),
        config.run.seed,
        full_length=config.collaborative.short_history_weighting,
        unit=config.privacy.unit,
    )
    return AuditedDevices(config, study.features, study.population, canaries)


def with_delta(config: Config, delta: float) -> Config:
    """The config with its delta settled: that of the real users, whatever the number of canaries."""
    return config.model_copy(update={"privacy": config.privacy.model_copy(update={"delta": delta})})


def with_canaries_set(config: Config, epsilons: Sequence[float]) -> Config:
    """The config as audits run it. Raises ConfigError where it claims nothing."""
    if config.privacy.epsilon is None and not epsilons:
        raise ConfigError("a run without noise claims nothing that an audit could test", action="Give --epsilon")
    tree = with_preset(config).model_dump()
    tree["run"] |= {"engine": "cohort", "reproducible": True}
    tree["privacy"]["epsilon"] = config.privacy.epsilon if config.privacy.epsilon is not None else epsilons[0]
    tree["audit"]["canaries"] = config.audit.canaries or DEFAULT_CANARIES
    tree["secure_aggregation"]["protocol"] = "auto"
    settled = with_protocol(from_tree(tree), "cohort")
    use_threads(settled.speed.threads)
    use_device(settled.speed.device)
    return settled


def _claiming(config: Config, epsilon: float, seed: int) -> Config:
    tree = config.model_dump()
    tree["run"]["seed"] = seed
    tree["privacy"]["epsilon"] = epsilon
    return from_tree(tree)
