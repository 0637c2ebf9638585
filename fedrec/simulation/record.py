"""What ``run.json`` says of a simulation beyond what every record says of a run."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

from fedrec.collaborative.item_tables import ID, MODALITY
from fedrec.config import Config
from fedrec.queries.registry import QUERIES
from fedrec.server.aggregation_failed import AGGREGATION_FAILED
from fedrec.server.results import RunResult
from fedrec.server.run_directory import record_of
from fedrec.simulation.run_recorder import RunRecorder
from fedrec.simulation.study import Study

if TYPE_CHECKING:
    from fedrec.model.recommender import Recommender


def simulated_record(config: Config, study: Study, outcome: RunResult, recorder: RunRecorder) -> dict[str, Any]:
    """The record of a run, with what was sent and which model it was; quality and cost are still to come."""
    users = len(study.population)
    record = record_of(config, outcome, recorder.records, users, users + config.audit.canaries)
    return {
        **record,
        "model": {
            "preset": config.model.preset,
            "modalities": _modalities(outcome.config, study, outcome.model),
            "parameters_shared": 0 if outcome.model is None else _size(outcome.model),
            "parameters_private": outcome.model.dimension if outcome.model and config.model.adapter else 0,
        },
        "secure_aggregation": {**record["secure_aggregation"], **_sent(config, recorder)},
        "quality": None,
        "cost": None,
    }


def _size(model: Recommender) -> int:
    from fedrec.model import parameters  # here, since it loads torch

    return parameters.count(model)


def cost_of(config: Config, outcome: RunResult, recorder: RunRecorder, seconds: float) -> dict[str, Any]:
    """What a simulation took: rounds, seconds, rows a second, the accountant's part, and memory."""
    asking, accounting = recorder.asking_seconds, outcome.accounting_seconds
    return {
        "rounds": _rounds(config, outcome),
        "seconds": round(seconds, 3),
        "training_seconds": round(asking, 3),
        "rows_per_second": recorder.rows / asking if asking and recorder.rows else None,
        "accounting_seconds": round(accounting, 4),
        "accounting_share": round(accounting / seconds, 6),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _sent(config: Config, recorder: RunRecorder) -> dict[str, Any]:
    """Who was asked last, and what was sent; of the model's updates where there were any."""
    opened = [record for record in recorder.records if record.get("reason") != AGGREGATION_FAILED]
    asked = [record for record in opened if QUERIES[record["query"]].sampled] or opened
    return {
        "note": _note(config),
        "cohort": asked[-1]["asked"] if asked else None,
        "survivors": asked[-1]["devices"] if asked else None,
        "bytes_up_per_device_round": asked[-1]["bytes_up_per_device"] if asked else None,
        "bytes_up_per_device_total": sum(record["bytes_up_per_device"] for record in recorder.records),
        # Numbers that requests carry; the release, and the catalogue that everybody gets, come on top.
        "bytes_down_per_device_total": sum(record.get("bytes_down_per_device", 0) for record in recorder.records),
    }


def _rounds(config: Config, outcome: RunResult) -> int:
    """Rounds of training that were run."""
    if outcome.validation is not None and outcome.validation["stopped_early"]:
        return int(outcome.validation["rounds"][-1])
    return config.training.rounds if config.model.tower else 0


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
