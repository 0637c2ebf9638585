"""``fedrec simulate``: from data to a signed release, a report, and figures that can be checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fedrec.config import Config, with_protocol
from fedrec.config.presets import with_preset
from fedrec.console import Reporter
from fedrec.content.fit import fit_to_content
from fedrec.content.left_out import say_fitted
from fedrec.content.registry import encoder_to_bytes
from fedrec.errors import ConfigError
from fedrec.privacy.run_plan import delta_of, with_interactions_counted
from fedrec.queries.plan import quality_of_sums
from fedrec.queries.sizing import sized_by_noise
from fedrec.run_warnings import simulators_warnings
from fedrec.server.publish import contents_of
from fedrec.server.results import Observer, RoundEvent, RunResult
from fedrec.server.run_directory import RunDirectory
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.fit_order import fit_to_order
from fedrec.simulation.fit_ratings import fit_to_ratings, ratings_beyond
from fedrec.simulation.measure import baselines_of, scorer_of, whole_quality
from fedrec.simulation.record import cost_of, simulated_record
from fedrec.simulation.report.optional import can_report
from fedrec.simulation.run_recorder import RunRecorder, SimulatedDevices
from fedrec.simulation.showcase import showcase
from fedrec.simulation.study import Study, prepare
from fedrec.simulators_view import KEY, simulators_view

if TYPE_CHECKING:
    from fedrec.data.sources import Source
    from fedrec.simulation.privacy.auditor import Auditor

RECORD: Final = "run.json"
EngineOf = Callable[[Config, Study, Path, Reporter], AbstractContextManager[SimulatedDevices]]


def settled(config: Config, *, reproducible: bool = True, here: bool = True) -> Config:
    """The settings that a run in this process really has: the preset's beneath, a protocol, and where noise is from.

    ``reproducible``: noise follows from the seed, as in a simulation; else it is the operating system's.  ``here``: the
    engine is to be started by this process.

    Raises:
        ConfigError: they do not fit each other, or the engine does not run in this process.
    """
    config = with_preset(config)
    check_engine(config, here=here)
    config = with_protocol(config, config.run.engine)
    return config.model_copy(update={"run": config.run.model_copy(update={"reproducible": reproducible})})


def simulate(
    config: Config,
    data: Source,
    out: Path,
    *,
    reporter: Reporter,
    study: Study | None = None,
    reproducible: bool = True,
    engine: EngineOf | None = None,
) -> dict[str, Any]:
    """Run a whole federation and write ``run.json``, ``events.jsonl``, ``model/``, ``report.html``, ``ledger.sqlite``.

    A run that was cut off goes on where it stopped when called again with the same arguments.  Without the extra
    ``report`` there is no ``report.html``, which the reporter is told.

    ``reproducible``: noise and secret samples are derived from the seed: a simulation can be repeated, and protects
    nobody.  False: they are the operating system's, and what the statement promises holds (`fedrec.train`).

    ``data``: anything that `fedrec.data.sources.read_data` takes.  ``study``: what `prepare` makes of the data, where
    it is at hand.  ``engine``: opens the devices; None: those of the engine that the config names.

    Returns:
        The content of ``run.json``.

    Raises:
        FedrecError: bad settings or data, or a budget that cannot be met.
    """
    started = time.perf_counter()
    config = settled(config, reproducible=reproducible, here=engine is None)
    study = prepare(config, data, reporter) if study is None else study
    asked, (config, left_out) = config, fit_to_content(config, study.features)
    config, unrated = fit_to_ratings(config, study.dataset)
    config, untimed = fit_to_order(config, study.dataset)
    left_out = [*left_out, *unrated, *untimed]
    say_fitted(left_out, reporter)
    users = len(study.population)
    counted = with_interactions_counted(config, len(study.dataset.interactions))
    sized = sized_by_noise(counted, users, len(study.features))
    changed, config = bool(left_out) or sized is not config, sized
    if config.audit.canaries:
        from fedrec.simulation.privacy.auditing import with_delta

        config = with_delta(config, delta_of(config, users))
    identity = config.model_dump_json() + study.fingerprint()
    with (
        RunDirectory.opened(out, config, users=users, identity=identity) as opened,
        (engine or engine_of)(config, study, out, reporter) as devices,
    ):
        recorder = RunRecorder(config.by_default, study, opened.log, reporter, devices)
        auditor = _auditor_of(config, devices, out)
        reporter.stage(f"Asking {devices.size:,} devices")
        observers = [recorder.note] if auditor is None else [auditor.note, recorder.note]
        outcome = opened.run(study.features, devices, _all_of(observers))
        audit = None
        if auditor is not None and outcome.costs:
            audit = auditor.evidence(outcome.costs, delta_of(config, devices.users)).facts()
        record = {
            **simulated_record(config, study, outcome, recorder),
            "data": {**study.facts(), "left_out_of_settings": left_out},
            "config_asked": asked.model_dump(mode="json") if changed else None,
            "audit": audit,
        }
        return _finish(study, outcome, recorder, opened, record, started, reporter)


def _auditor_of(config: Config, devices: SimulatedDevices, out: Path) -> Auditor | None:
    if not config.audit.canaries:
        return None
    # Here, since what an audit needs of SciPy takes long to import.
    from fedrec.simulation.engines.audited import AuditedDevices
    from fedrec.simulation.privacy.auditor import Auditor

    return Auditor(config, devices, out / "audit.json") if isinstance(devices, AuditedDevices) else None


def _all_of(observers: Sequence[Observer]) -> Observer:
    def observe(step: RoundEvent) -> None:
        for observer in observers:
            observer(step)

    return observe


@contextmanager
def engine_of(config: Config, study: Study, out: Path, reporter: Reporter) -> Iterator[SimulatedDevices]:
    """The devices of the engine that the config names, with canaries among them if it asks for an audit."""
    if config.audit.canaries:
        from fedrec.simulation.privacy.auditing import audited_devices

        yield audited_devices(config, study)
    elif config.run.engine == "cohort":
        yield CohortDevices(config, study.features, study.population)
    else:
        from fedrec.simulation.engines.grid_devices import grid_devices

        with grid_devices(config, study, out, reporter) as devices:
            yield devices


def check_engine(config: Config, *, here: bool = True) -> None:
    """Raise ConfigError for an engine that cannot do what is asked, or, if ``here``, not start in this process."""
    if config.audit.canaries and config.run.engine != "cohort":
        raise ConfigError(
            "canaries live in engine 'cohort' only", value=config.run.engine, action="Set run.engine=cohort to audit"
        )
    if here and config.run.engine == "flower":
        raise ConfigError(
            "engine 'flower' is started with `flwr run .`",
            value=config.run.engine,
            action="See docs/engines.md, or use run.engine=grid, which sends the same messages in this process",
        )


def _finish(
    study: Study,
    outcome: RunResult,
    recorder: RunRecorder,
    opened: RunDirectory,
    run: dict[str, Any],
    started: float,
    reporter: Reporter,
) -> dict[str, Any]:
    """Measure, then write the release, the record and the report."""
    config = outcome.config
    reporter.stage("Measuring")
    run["quality"] = whole_quality(config, study, outcome.model, outcome.collaborative, outcome.features)
    run["baselines"] = baselines_of(config, study)
    for_card = list(run["warnings"])
    run["warnings"] += simulators_warnings(run["quality"], run["baselines"])
    run["warnings"] += ratings_beyond(config, study.dataset)
    run[KEY] = simulators_view("quality, baselines, and the loss and quality of each round")
    reporter.stage("Writing the release")
    encoders = {name: encoder_to_bytes(encoder) for name, encoder in study.encoders.items()}
    public, data = _publishable(config, run, outcome)
    exact = config.privacy.epsilon is None
    contents = contents_of(
        config,
        encoders,
        outcome,
        run["privacy"],
        quality=public,
        data=data,
        exact_quality=exact,
        warnings=run["warnings"] if exact else for_card,
    )
    opened.write_release(contents)
    run["cost"] = cost_of(config, outcome, recorder, time.perf_counter() - started)
    opened.write_record(RECORD, run)
    if can_report(reporter):
        from fedrec.simulation.report.build import build_report

        people = showcase(study, scorer_of(config, study, outcome.model, outcome.collaborative, outcome.features))
        build_report(opened.path, run, recorder.records, people, run["baselines"])
    return run


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
