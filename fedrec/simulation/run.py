"""``fedrec simulate``: from data to a signed release, a report, and figures that can be checked."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fedrec.collaborative.item_tables import ID, MODALITY
from fedrec.config import Config, with_protocol
from fedrec.config.presets import with_preset
from fedrec.console import Reporter, jsonable
from fedrec.content.fit import fit_to_content
from fedrec.content.left_out import say_fitted
from fedrec.content.registry import encoder_to_bytes
from fedrec.errors import ConfigError
from fedrec.model import parameters
from fedrec.model.recommender import Recommender
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import budget_of, described, quality_of_sums, statement_of
from fedrec.queries.registry import QUERIES
from fedrec.release.bundle import write_release
from fedrec.release.keys import SigningKey, create_key, load_key
from fedrec.server.aggregation_failed import AGGREGATION_FAILED
from fedrec.server.event_log import EventLog
from fedrec.server.federate import aborts_of
from fedrec.server.publish import contents_of
from fedrec.server.results import Observer, RoundEvent, RunResult
from fedrec.server.run import FederatedRun
from fedrec.server.state import ServerState
from fedrec.simulation.engines.audited import AuditedDevices
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.measure import baselines_of, scorer_of, whole_quality
from fedrec.simulation.privacy.auditing import audited_devices, with_delta
from fedrec.simulation.privacy.auditor import Auditor
from fedrec.simulation.report.optional import can_report
from fedrec.simulation.run_recorder import RunRecorder, SimulatedDevices
from fedrec.simulation.showcase import showcase
from fedrec.simulation.study import Study, prepare

if TYPE_CHECKING:
    from fedrec.data.sources import Source


def settled(config: Config) -> Config:
    """The settings that a simulation really runs with: the preset's beneath, a protocol, and repeatable noise.

    Raises:
        ConfigError: they do not fit each other, or the engine does not run in this process.
    """
    config = with_preset(config)
    check_engine(config)
    config = with_protocol(config, config.run.engine)
    return config.model_copy(update={"run": config.run.model_copy(update={"reproducible": True})})


def simulate(
    config: Config, data: Source, out: Path, *, reporter: Reporter, study: Study | None = None
) -> dict[str, Any]:
    """Run a whole federation and write ``run.json``, ``events.jsonl``, ``model/``, ``report.html``, ``ledger.sqlite``.

    A run that was cut off goes on where it stopped when called again with the same arguments.  Noise and sampling are
    derived from the seed: a simulation can be repeated, and protects nobody.  Without the extra ``report`` there is no
    ``report.html``, which the reporter is told.

    ``data``: anything that `fedrec.data.sources.read_data` takes.  ``study``: what `prepare` makes of the data, where
    it is at hand.

    Returns:
        The content of ``run.json``.

    Raises:
        FedrecError: bad settings or data, or a budget that cannot be met.
    """
    started = time.perf_counter()
    config = settled(config)
    if config.speed.threads:
        torch.set_num_threads(config.speed.threads)
    out.mkdir(parents=True, exist_ok=True)
    study = prepare(config, data, reporter) if study is None else study
    asked, (config, left_out) = config, fit_to_content(config, study.features)
    say_fitted(left_out, reporter)
    if config.audit.canaries:
        config = with_delta(config, delta_of(config, len(study.population)))
    budget = budget_of(config, len(study.population))
    with (
        Ledger.open(out / "ledger.sqlite", budget) as ledger,
        ServerState(out / "server.sqlite", config.model_dump_json() + study.fingerprint()) as state,
        engine_of(config, study, out, reporter) as devices,
    ):
        lines = EventLog(out / "events.jsonl", goes_on=state.resumed)
        recorder = RunRecorder(config, study, lines, reporter, devices)
        auditor = Auditor(config, devices, out / "audit.json") if isinstance(devices, AuditedDevices) else None
        reporter.stage(f"Asking {devices.size:,} devices")
        observers = [recorder.note] if auditor is None else [auditor.note, recorder.note]
        outcome = FederatedRun(config, study.features, devices, ledger, state, _all_of(observers)).run()
    audit = None
    if auditor is not None and outcome.costs:
        audit = auditor.evidence(outcome.costs, delta_of(config, devices.users)).facts()
    fitted = {
        "data": {**study.facts(), "left_out_of_settings": left_out},
        "config_asked": asked.model_dump(mode="json") if left_out else None,
    }
    return _finish(config, study, outcome, recorder, out, started, reporter, audit, fitted)


def _all_of(observers: Sequence[Observer]) -> Observer:
    def observe(step: RoundEvent) -> None:
        for observer in observers:
            observer(step)

    return observe


@contextmanager
def engine_of(config: Config, study: Study, out: Path, reporter: Reporter) -> Iterator[SimulatedDevices]:
    """The devices of the engine that the config names, with canaries among them if it asks for an audit."""
    if config.audit.canaries:
        yield audited_devices(config, study)
    elif config.run.engine == "cohort":
        yield CohortDevices(config, study.features, study.population)
    else:
        from fedrec.simulation.engines.grid_devices import grid_devices

        with grid_devices(config, study, out, reporter) as devices:
            yield devices


def check_engine(config: Config) -> None:
    """Raise ConfigError for an engine that does not run in this process, or not with what is asked of it."""
    if config.audit.canaries and config.run.engine != "cohort":
        raise ConfigError(
            "canaries live in engine 'cohort' only", value=config.run.engine, action="Set run.engine=cohort to audit"
        )
    if config.run.engine == "flower":
        raise ConfigError(
            "engine 'flower' is started with `flwr run .`",
            value=config.run.engine,
            action="See docs/engines.md, or use run.engine=grid, which sends the same messages in this process",
        )


def _finish(
    config: Config,
    study: Study,
    outcome: RunResult,
    recorder: RunRecorder,
    out: Path,
    started: float,
    reporter: Reporter,
    audit: dict[str, Any] | None,
    fitted: Mapping[str, Any],
) -> dict[str, Any]:
    reporter.stage("Measuring")
    quality = whole_quality(config, study, outcome.model, outcome.collaborative, outcome.features)
    baselines = baselines_of(study)
    stating = time.perf_counter()
    privacy = statement_of(config, outcome.costs, delta_of(config, len(study.population)))
    accounting = outcome.accounting_seconds + time.perf_counter() - stating
    run = {**_facts(config, study, outcome, recorder, privacy), **fitted}
    run["quality"], run["baselines"], run["audit"] = quality, baselines, audit
    reporter.stage("Writing the release")
    encoders = {name: encoder_to_bytes(encoder) for name, encoder in study.encoders.items()}
    public, data = _publishable(config, run, outcome)
    contents = contents_of(config, encoders, outcome, run["privacy"], quality=public, data=data)
    write_release(out / "model", contents, key=_signing_key(out / "release.key"), replace=True)
    seconds = time.perf_counter() - started
    run["cost"] = {
        "rounds": _rounds(config, outcome),
        "seconds": round(seconds, 3),
        "training_seconds": round(recorder.asking_seconds, 3),
        "rows_per_second": recorder.rows / recorder.asking_seconds
        if recorder.asking_seconds and recorder.rows
        else None,
        "accounting_seconds": round(accounting, 4),
        "accounting_share": round(accounting / seconds, 6),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    (out / "run.json").write_text(json.dumps(jsonable(run), indent=2) + "\n", encoding="utf-8")
    if can_report(reporter):
        from fedrec.simulation.report.build import build_report

        people = showcase(study, scorer_of(config, study, outcome.model, outcome.collaborative, outcome.features))
        build_report(out, run, recorder.records, people, baselines)
    return run


def _rounds(config: Config, outcome: RunResult) -> int:
    """Rounds of training that were run."""
    if outcome.validation is not None and outcome.validation["stopped_early"]:
        return int(outcome.validation["rounds"][-1])
    return config.training.rounds if config.model.tower else 0


def _publishable(
    config: Config, run: Mapping[str, Any], outcome: RunResult
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Quality and facts of the data for the model card, which is part of the release.

    What the simulator measured comes from data that no ledger row covers.  So a private release says only what the
    devices were asked for and charged, and what everybody knows.
    """
    if config.privacy.epsilon is None:
        return run["quality"], run["data"]
    return quality_of_sums(outcome.results), {name: run["data"][name] for name in ("name", "users", "items")}


def _facts(
    config: Config, study: Study, outcome: RunResult, recorder: RunRecorder, privacy: Mapping[str, Any]
) -> dict[str, Any]:
    shared = 0 if outcome.model is None else parameters.count(outcome.model)
    opened = [record for record in recorder.records if record.get("reason") != AGGREGATION_FAILED]
    asked = [record for record in opened if QUERIES[record["query"]].sampled] or opened
    return {
        "schema": 1,
        "config": config.model_dump(mode="json"),
        "model": {
            "preset": config.model.preset,
            "modalities": _modalities(config, study, outcome.model),
            "parameters_shared": shared,
            "parameters_private": outcome.model.dimension if outcome.model and config.model.adapter else 0,
        },
        "quality": None,
        "privacy": {**privacy, "ledger": dict(outcome.ledger)},
        "secure_aggregation": {
            "protocol": config.secure_aggregation.protocol,
            "note": _note(config),
            "cohort": asked[-1]["asked"] if asked else None,
            "survivors": asked[-1]["devices"] if asked else None,
            "bytes_up_per_device_round": asked[-1]["bytes_up_per_device"] if asked else None,
            "bytes_up_per_device_total": sum(record["bytes_up_per_device"] for record in recorder.records),
            # Numbers that requests carry; the release, and the catalogue that everybody gets, come on top.
            "bytes_down_per_device_total": sum(record.get("bytes_down_per_device", 0) for record in recorder.records),
            "aborted": aborts_of(config, recorder.records),
        },
        "queries": described(outcome.results),
        "validation": outcome.validation,
        "stopped": outcome.stopped,
        "cost": None,
    }


def _note(config: Config) -> str | None:
    if config.run.engine == "cohort":
        return "engine cohort computes the sum that secure aggregation would open, without messages or masks"
    return None


def _modalities(config: Config, study: Study, model: Recommender | None) -> list[str]:
    settings = config.collaborative
    read = set(() if model is None else model.modalities)
    if settings.has_prior:
        read |= set(settings.prior.modalities)
    collaborative = settings.pairwise or settings.popularity
    return [name for name in (*study.features.values, ID) if name in read] + [MODALITY] * collaborative


def _signing_key(path: Path) -> SigningKey:
    return load_key(path) if path.exists() else create_key(path)
