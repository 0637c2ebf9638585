"""A run as a run of MLflow, in a store of its own beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.extras import need
from fedrec.simulation.tracking.figures import artifacts_of, measured, name_of, settings_of

_EXPERIMENT: Final = "fedrec"
# How many parameters MLflow takes at once, how many metrics, and how long a value may be.
_MOST_PARAMETERS: Final = 100
_MOST_METRICS: Final = 1000
_LONGEST: Final = 6000


def write_mlflow(
    out: Path, record: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], *, store: str | None = None
) -> str:
    """Write the run to an MLflow store and return its address.

    Args:
        store: the address of a store, as ``MLFLOW_TRACKING_URI`` has it; None: ``out/mlflow.db``, a file.

    Raises:
        MissingExtraError: MLflow is not installed.
    """
    need("mlflow", "tracking", what="writing for MLflow")
    tracking: Any = need("mlflow.tracking", "tracking", what="writing for MLflow")
    entities: Any = need("mlflow.entities", "tracking", what="writing for MLflow")
    address = f"sqlite:///{(out / 'mlflow.db').resolve()}" if store is None else store
    client = tracking.MlflowClient(tracking_uri=address)
    known = client.get_experiment_by_name(_EXPERIMENT)
    kept = None if store is not None else (out / "mlflow-artifacts").resolve().as_uri()
    experiment = client.create_experiment(_EXPERIMENT, artifact_location=kept) if known is None else known.experiment_id
    run = client.create_run(experiment, run_name=name_of(record)).info.run_id
    now = int(time.time() * 1000)
    metrics = [entities.Metric(one.name, one.value, now, one.step or 0) for one in measured(record, lines)]
    for start in range(0, len(metrics), _MOST_METRICS):
        client.log_batch(run, metrics=metrics[start : start + _MOST_METRICS])
    parameters = [entities.Param(key, value[:_LONGEST]) for key, value in settings_of(record).items()]
    for start in range(0, len(parameters), _MOST_PARAMETERS):
        client.log_batch(run, params=parameters[start : start + _MOST_PARAMETERS])
    if about := record.get("about"):
        client.set_tag(run, "about", str(about)[:_LONGEST])
    for path in artifacts_of(out):
        client.log_artifact(run, str(path))
    client.set_terminated(run)
    return address
